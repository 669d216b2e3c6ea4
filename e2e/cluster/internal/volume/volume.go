// Package volume owns dynamic storage: a directory on the node per claim,
// offered as a `local` PersistentVolume. Such volumes, unlike host paths, get
// a pod's fsGroup. Sizes are noted, not enforced.
package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"longshore.dev/cluster/internal/layout"
)

// ProvisionerName stands in the StorageClass.
const ProvisionerName = "local.longshore.dev"

// provisioner makes and removes directories below root.
type provisioner struct{ root string }

var _ controller.Provisioner = provisioner{}

func (p provisioner) Provision(_ context.Context, options controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if mode := options.PVC.Spec.VolumeMode; mode != nil && *mode != core.PersistentVolumeFilesystem {
		return nil, controller.ProvisioningFinished, fmt.Errorf("volume mode %s is not offered, only %s", *mode, core.PersistentVolumeFilesystem)
	}
	dir := p.dir(options.PVName)
	// Root's, like a fresh disk: only fsGroup opens it to a non-root pod.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	filesystem := core.PersistentVolumeFilesystem
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: options.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			VolumeMode:                    &filesystem,
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: dir}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
				MatchExpressions: []core.NodeSelectorRequirement{{
					Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{layout.NodeName},
				}},
			}}}},
		},
	}
	return volume, controller.ProvisioningFinished, nil
}

func (p provisioner) Delete(_ context.Context, volume *core.PersistentVolume) error {
	return os.RemoveAll(p.dir(volume.Name))
}

func (p provisioner) dir(volume string) string {
	return filepath.Join(p.root, filepath.Base(volume))
}

// Run is the provisioner as a process of its own.
func Run(ctx context.Context, state layout.State) error {
	config, err := clientcmd.BuildConfigFromFlags("", state.ComponentKubeconfig("provisioner"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller.NewProvisionController(ctx, client, ProvisionerName, provisioner{root: state.Volumes()},
		controller.LeaderElection(false),
		controller.MetricsPort(0),
		// The library's own first retry comes after 15 s.
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second)),
	).Run(ctx)
	return nil
}
