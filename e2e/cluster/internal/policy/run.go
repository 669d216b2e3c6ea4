package policy

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"longshore.dev/cluster/internal/layout"
)

// attachmentsDir lies in the cluster's own /run and is gone with it.
const attachmentsDir = "/run/longshore-policy"

// Run is the engine as a process of its own.
func Run(ctx context.Context, state layout.State) error {
	config, err := clientcmd.BuildConfigFromFlags("", state.ComponentKubeconfig("policy"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	attachments, err := OpenAttachments(attachmentsDir)
	if err != nil {
		return err
	}
	engine, err := NewEngine(ctx, client, attachments)
	if err != nil {
		return err
	}
	engine.note()
	go engine.Run(ctx)
	return engine.Serve(ctx, state.PolicySocket())
}
