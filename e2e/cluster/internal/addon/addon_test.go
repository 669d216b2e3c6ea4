package addon

import (
	"slices"
	"strings"
	"testing"

	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/volume"
)

func TestEveryObjectHasKindAndNameAndANamespaceWhereItLivesInOne(t *testing.T) {
	objects, err := Objects(layout.State{Dir: "/some/state"})
	if err != nil {
		t.Fatal(err)
	}
	classes := 0
	for _, object := range objects {
		if object.GetKind() == "" || object.GetName() == "" {
			t.Errorf("an object without kind or name: %v", object.Object)
		}
		if (object.GetNamespace() != "") != slices.Contains(namespaced, object.GetKind()) {
			t.Errorf("%s %s has the namespace %q", object.GetKind(), object.GetName(), object.GetNamespace())
		}
		if object.GetKind() == "StorageClass" {
			classes++
			if object.Object["provisioner"] != volume.ProvisionerName {
				t.Errorf("the StorageClass names %v", object.Object["provisioner"])
			}
		}
	}
	if classes != 1 {
		t.Errorf("%d StorageClasses", classes)
	}
}

func TestDNSRunsTheProgramOfThisState(t *testing.T) {
	objects, err := Objects(layout.State{Dir: "/some/state"})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			body, err := object.MarshalJSON()
			if err != nil || !strings.Contains(string(body), `"path":"/some/state/bin"`) {
				t.Errorf("%s %v", body, err)
			}
			return
		}
	}
	t.Error("no Deployment")
}
