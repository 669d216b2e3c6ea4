package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"longshore.dev/cluster/internal/layout"
)

const (
	lookAgain = 50 * time.Millisecond
	oneLook   = 5 * time.Second
)

// await repeats a check until it succeeds or the step's deadline has passed;
// then it returns the check's last answer.
func await(ctx context.Context, check func(context.Context) error) error {
	deadline := time.Now().Add(stepDeadline)
	for {
		look, cancel := context.WithTimeout(ctx, oneLook)
		err := check(look)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s: %w", stepDeadline, err)
		}
		time.Sleep(lookAgain)
	}
}

func apiReady(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}
}

// nodeReady believes no report from before the start: after a crash the node's
// object still says Ready.
func nodeReady(client kubernetes.Interface, started time.Time) func(context.Context) error {
	// Kubernetes writes times in whole seconds.
	started = started.Truncate(time.Second)
	return func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, layout.NodeName, meta.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == core.NodeReady && condition.Status == core.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(started) {
				return nil
			}
		}
		return errors.New("it has not said so since the start")
	}
}

// dnsAnswers asks the DNS service for the API server, by the way of every pod:
// the service address, translated to the pod's.
func dnsAnswers(ctx context.Context) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: 300 * time.Millisecond}
		connection, err := dialer.DialContext(ctx, network, net.JoinHostPort(layout.DNSIP, "53"))
		if err == nil {
			err = connection.SetDeadline(time.Now().Add(500 * time.Millisecond))
		}
		return connection, err
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+layout.Domain+".")
	if err == nil && (len(addresses) != 1 || addresses[0] != layout.ServiceIP) {
		err = fmt.Errorf("it says %v instead of %s", addresses, layout.ServiceIP)
	}
	return err
}
