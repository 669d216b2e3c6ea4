package volume

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func options(name string) controller.ProvisionOptions {
	policy := core.PersistentVolumeReclaimDelete
	claim := &core.PersistentVolumeClaim{}
	claim.Spec.AccessModes = []core.PersistentVolumeAccessMode{core.ReadWriteOnce}
	claim.Spec.Resources.Requests = core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")}
	return controller.ProvisionOptions{PVName: name, PVC: claim, StorageClass: &storage.StorageClass{ReclaimPolicy: &policy}}
}

func TestAVolumeIsADirectoryAndGoesWithIt(t *testing.T) {
	p := provisioner{root: t.TempDir()}
	made, state, err := p.Provision(context.Background(), options("pvc-1"))
	if err != nil || state != controller.ProvisioningFinished {
		t.Fatal(state, err)
	}
	dir := filepath.Join(p.root, "pvc-1")
	if made.Spec.Local == nil || made.Spec.Local.Path != dir || made.Spec.NodeAffinity == nil {
		t.Errorf("the volume is %+v", made.Spec)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 {
		t.Errorf("the directory: %v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(context.Background(), made); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the directory is still there:", err)
	}
}

func TestNoVolumeLiesOutsideOfTheRoot(t *testing.T) {
	root := t.TempDir()
	if dir := (provisioner{root: root}).dir("../../etc"); filepath.Dir(dir) != root {
		t.Error("a volume at", dir)
	}
}

func TestABlockVolumeIsRefused(t *testing.T) {
	wanted := options("pvc-1")
	block := core.PersistentVolumeBlock
	wanted.PVC.Spec.VolumeMode = &block
	if _, _, err := (provisioner{root: t.TempDir()}).Provision(context.Background(), wanted); err == nil {
		t.Error("a block volume was made")
	}
}
