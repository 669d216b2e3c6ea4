package image

import (
	"context"
	"errors"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Alive fails while the container runtime does not answer.
func Alive(ctx context.Context, socket string) error {
	connection, err := Connect(socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = cri.NewRuntimeServiceClient(connection).Version(ctx, &cri.VersionRequest{})
	return err
}

// RemovePods removes every pod sandbox with its containers; images stay.
func RemovePods(ctx context.Context, socket string) error {
	connection, err := Connect(socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	client := cri.NewRuntimeServiceClient(connection)
	list, err := client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	var failed error
	for _, sandbox := range list.Items {
		_, err := client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: sandbox.Id})
		failed = errors.Join(failed, err)
	}
	return failed
}
