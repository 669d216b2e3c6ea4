package command

import (
	"context"
	"fmt"
	"os"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/supervise"
)

const (
	unhealthy  = exitError(1)
	notRunning = exitError(3)
)

func status(ctx context.Context, state layout.State) error {
	if !running(state) {
		fmt.Println("not running:", state.Dir)
		return notRunning
	}
	pid, err := isolation.InitPID(state)
	if err != nil {
		return err
	}
	fmt.Printf("running: %s (process %d)\n", state.Dir, pid)
	healthy := true
	say := func(ok bool, what, detail string) {
		healthy = healthy && ok
		mark := "ok"
		if !ok {
			mark = "NOT OK"
		}
		fmt.Printf("  %-6s  %-24s %s\n", mark, what, detail)
	}
	children, err := supervise.ReadHealth(state.Health())
	if err != nil {
		say(false, "components", err.Error())
	}
	for _, child := range children {
		detail := fmt.Sprintf("up %s, %d restarts", time.Since(child.Since).Round(time.Second), child.Restarts)
		if child.LastExit != "" {
			detail += ", last " + child.LastExit
		}
		say(child.PID != 0, child.Name, detail)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = clusterHealth(ctx, state, say)
	if err != nil {
		say(false, "API server", err.Error())
	}
	_, err = os.Stat(state.Ready())
	say(err == nil, "ready", "kubeconfig "+state.Kubeconfig())
	if !healthy {
		return unhealthy
	}
	return nil
}

func clusterHealth(ctx context.Context, state layout.State, say func(bool, string, string)) error {
	config, err := clientcmd.BuildConfigFromFlags("", state.Kubeconfig())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	node, err := client.CoreV1().Nodes().Get(ctx, layout.NodeName, meta.GetOptions{})
	if err != nil {
		return err
	}
	say(true, "API server", config.Host)
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			say(condition.Status == core.ConditionTrue, "node", condition.Message)
		}
	}
	dns, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", meta.GetOptions{})
	if err != nil {
		return err
	}
	say(dns.Status.AvailableReplicas > 0, "CoreDNS", fmt.Sprintf("%d available", dns.Status.AvailableReplicas))
	return nil
}

// running tells whether someone holds the lock.
func running(state layout.State) bool {
	if _, err := os.Stat(state.Lock()); err != nil {
		return false
	}
	lock, err := isolation.TryLock(state)
	if lock != nil {
		lock.Close()
	}
	return err == nil && lock == nil
}
