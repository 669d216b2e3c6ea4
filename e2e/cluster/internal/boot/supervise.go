package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"longshore.dev/cluster/internal/addon"
	"longshore.dev/cluster/internal/image"
	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/metadata"
	"longshore.dev/cluster/internal/outside"
	"longshore.dev/cluster/internal/plane"
	"longshore.dev/cluster/internal/supervise"
)

// Ready is the line that ends the progress report of a start.
const Ready = "ready"

// stepDeadline is generous: the machine may be busy compiling.
const stepDeadline = 100 * time.Second

// Supervise runs inside the cluster's namespaces: it brings all components up,
// reports each step, and keeps them running until it is killed.
func Supervise(ctx context.Context, state layout.State) error {
	progress, socket := isolation.Inherited()
	listener, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("the API server's port: %w", err)
	}
	socket.Close()
	// The listener was opened in the machine's network namespace and keeps
	// belonging to it; dialling happens in ours.
	go outside.Join(listener, func() (net.Conn, error) {
		return net.Dial("tcp", net.JoinHostPort("127.0.0.1", layout.APIPort))
	})
	if err := outside.Serve(state.Outside()); err != nil {
		return err
	}
	if err := metadata.Serve(); err != nil {
		return err
	}
	if err := bringUp(ctx, state, progress); err != nil {
		fmt.Fprintln(progress, "failed: "+err.Error())
		return err
	}
	if err := os.WriteFile(state.Ready(), nil, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(progress, Ready)
	progress.Close()
	<-ctx.Done()
	return errors.New("told to stop")
}

func bringUp(ctx context.Context, state layout.State, progress io.Writer) error {
	started := time.Now()
	fresh := !exists(state.Etcd())
	group := supervise.NewGroup(state.Health(), environment(state))
	for _, child := range append(plane.Storage(state), plane.APIServer(state)) {
		if err := group.Start(ctx, child); err != nil {
			return err
		}
	}
	images := make(chan error, 1)
	go func() { images <- prepareRuntime(ctx, state, fresh) }()

	config, err := clientcmd.BuildConfigFromFlags("", state.ComponentKubeconfig("admin"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := await(ctx, apiReady(client)); err != nil {
		return fmt.Errorf("the API server is not ready: %w", err)
	}
	fmt.Fprintln(progress, "API server ready")
	if err := <-images; err != nil {
		return fmt.Errorf("the container runtime is not ready: %w", err)
	}
	for _, child := range plane.Controllers(state) {
		if err := group.Start(ctx, child); err != nil {
			return err
		}
	}
	if err := applyAddons(ctx, config, state); err != nil {
		return err
	}
	fmt.Fprintln(progress, "default StorageClass and DNS service made")
	if err := await(ctx, nodeReady(client, started)); err != nil {
		return fmt.Errorf("the node is not ready: %w", err)
	}
	fmt.Fprintln(progress, "node Ready")
	if err := await(ctx, dnsAnswers); err != nil {
		return fmt.Errorf("CoreDNS does not answer: %w", err)
	}
	fmt.Fprintln(progress, "CoreDNS answers")
	return nil
}

// prepareRuntime waits for containerd, gives it the image that every pod needs
// and, if the cluster is new, removes pods of a former one whose images were
// kept.
func prepareRuntime(ctx context.Context, state layout.State, fresh bool) error {
	archive := state.Path("run", "busybox.tar")
	if err := image.WriteBusybox(archive, layout.PauseImage); err != nil {
		return err
	}
	defer os.Remove(archive)
	if err := await(ctx, func(ctx context.Context) error { return image.Alive(ctx, state.ContainerdSocket()) }); err != nil {
		return err
	}
	if fresh {
		if err := image.RemovePods(ctx, state.ContainerdSocket()); err != nil {
			return err
		}
	}
	_, err := image.Load(ctx, state.ContainerdSocket(), archive)
	return err
}

func applyAddons(ctx context.Context, config *rest.Config, state layout.State) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	// Right after the start the built-in priority classes and the default
	// service ranges may not stand yet.
	return await(ctx, func(ctx context.Context) error { return addon.Apply(ctx, client, state) })
}

// environment is the same for all children, whoever called `up`.
func environment(state layout.State) []string {
	return []string{
		"PATH=" + state.Path("bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/run", "TMPDIR=/run",
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
