package policy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networklisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// catchUp is how long a new pod waits for our view of the cluster to become as
// new as the API server's. Sandbox creation fails after that and is tried again.
const catchUp = 5 * time.Second

// Engine keeps the packet filter in line with the cluster.
type Engine struct {
	client     kubernetes.Interface
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networklisters.NetworkPolicyLister
	changed    chan struct{}

	attachments *Attachments
	loading     sync.Mutex // guards loaded, and one load at a time
	loaded      string
}

// NewEngine connects an engine to the API server and waits for its first view.
func NewEngine(ctx context.Context, client kubernetes.Interface, attachments *Attachments) (*Engine, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(withoutManagedFields))
	engine := &Engine{
		client:      client,
		pods:        factory.Core().V1().Pods().Lister(),
		namespaces:  factory.Core().V1().Namespaces().Lister(),
		policies:    factory.Networking().V1().NetworkPolicies().Lister(),
		changed:     make(chan struct{}, 1),
		attachments: attachments,
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		handler := cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { engine.note() },
			UpdateFunc: func(any, any) { engine.note() },
			DeleteFunc: func(any) { engine.note() },
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("no view of %s", kind)
		}
	}
	return engine, nil
}

// Run applies changes until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
		}
		if err := e.load(); err != nil {
			slog.Error("the packet filter cannot be changed", "error", err)
			time.AfterFunc(time.Second, e.note)
		}
	}
}

// Attach lets a new pod have the network, under the policies that stand at the
// moment of the call.
func (e *Engine) Attach(ctx context.Context, attachment Attachment) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := e.awaitView(ctx, attachment.Namespace, attachment.Pod); err != nil {
		return fmt.Errorf("waiting for a view of %s/%s: %w", attachment.Namespace, attachment.Pod, err)
	}
	if err := e.attachments.Add(attachment); err != nil {
		return err
	}
	if err := e.load(); err != nil {
		return err
	}
	slog.Info("pod attached", "namespace", attachment.Namespace, "pod", attachment.Pod, "address", attachment.Address, "took", time.Since(started))
	return nil
}

// Detach takes the network from a sandbox.
func (e *Engine) Detach(container string) error {
	if err := e.attachments.Remove(container); err != nil {
		return err
	}
	return e.load()
}

// awaitView returns when our caches hold at least what a live read shows of
// the pod, its namespace and the policies there: a policy made before the pod
// holds from its first packet on.
func (e *Engine) awaitView(ctx context.Context, namespace, name string) error {
	policies, err := e.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	pod, err := e.client.CoreV1().Pods(namespace).Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return err
	}
	for {
		if e.sees(pod, policies.Items) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (e *Engine) sees(pod *core.Pod, policies []networking.NetworkPolicy) bool {
	if _, err := e.namespaces.Get(pod.Namespace); err != nil {
		return false
	}
	if cached, err := e.pods.Pods(pod.Namespace).Get(pod.Name); err != nil || older(cached, pod) {
		return false
	}
	for _, policy := range policies {
		if cached, err := e.policies.NetworkPolicies(policy.Namespace).Get(policy.Name); err != nil || older(cached, &policy) {
			return false
		}
	}
	return true
}

// older compares resource versions, which Kubernetes 1.35 defines as
// increasing numbers.
func older(cached, live meta.Object) bool {
	a, b := cached.GetResourceVersion(), live.GetResourceVersion()
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// load brings the kernel to what we know now. It sends nothing when nothing has
// changed, so of many pods that wait here the first one loads for all.
func (e *Engine) load() error {
	e.loading.Lock()
	defer e.loading.Unlock()
	world, err := e.world()
	if err != nil {
		return err
	}
	ruleset, err := world.Ruleset()
	if err != nil || ruleset == e.loaded {
		return err
	}
	if err := LoadRuleset(ruleset); err != nil {
		return err
	}
	e.loaded = ruleset
	return nil
}

func (e *Engine) world() (World, error) {
	var world World
	for _, attachment := range e.attachments.List() {
		pod, err := e.pods.Pods(attachment.Namespace).Get(attachment.Pod)
		if err != nil {
			// Deleted while its sandbox still stands: unknown, so cut off.
			continue
		}
		world.Pods = append(world.Pods, Pod{
			Namespace: pod.Namespace, Labels: pod.Labels, Address: attachment.Address, Ports: ports(pod),
		})
	}
	namespaces, err := e.namespaces.List(labels.Everything())
	if err != nil {
		return world, err
	}
	world.Namespaces = map[string]map[string]string{}
	for _, namespace := range namespaces {
		world.Namespaces[namespace.Name] = maps.Clone(namespace.Labels)
	}
	world.Policies, err = e.policies.List(labels.Everything())
	return world, err
}

func ports(pod *core.Pod) []core.ContainerPort {
	var all []core.ContainerPort
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		all = append(all, container.Ports...)
	}
	return all
}

// withoutManagedFields drops what makes up half of an object in our caches.
func withoutManagedFields(object any) (any, error) {
	if accessor, ok := object.(meta.Object); ok {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

func (e *Engine) note() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// LoadRuleset hands rules to the kernel in one transaction.
func LoadRuleset(ruleset string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(ruleset)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
