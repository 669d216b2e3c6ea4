// Package addon owns the objects every cluster starts with: roles of our
// helpers, the StorageClass and CoreDNS. Applying them again changes nothing.
package addon

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/template"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/outside"
)

//go:embed manifests
var manifests embed.FS

// namespaced lists the kinds that live in a namespace, so that no discovery is
// needed.
var namespaced = []string{"ServiceAccount", "ConfigMap", "Service", "Deployment"}

type values struct {
	layout.State
	Domain, DNSIP, PauseImage string
	Names                     []outside.Name
}

// Objects gives all objects in the order in which they are to be applied.
func Objects(state layout.State) ([]*unstructured.Unstructured, error) {
	entries, err := manifests.ReadDir("manifests")
	if err != nil {
		return nil, err
	}
	input := values{state, layout.Domain, layout.DNSIP, layout.PauseImage, outside.Names}
	var objects []*unstructured.Unstructured
	for _, entry := range entries {
		parsed, err := template.ParseFS(manifests, "manifests/"+entry.Name())
		if err != nil {
			return nil, err
		}
		var body bytes.Buffer
		if err := parsed.Execute(&body, input); err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(&body, 4096)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", entry.Name(), err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// Apply brings the objects into the cluster by server-side apply.
func Apply(ctx context.Context, client dynamic.Interface, state layout.State) error {
	objects, err := Objects(state)
	if err != nil {
		return err
	}
	for _, object := range objects {
		plural, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		var resource dynamic.ResourceInterface = client.Resource(plural)
		if slices.Contains(namespaced, object.GetKind()) {
			resource = client.Resource(plural).Namespace(object.GetNamespace())
		}
		options := metav1.ApplyOptions{FieldManager: "longshore-cluster", Force: true}
		if _, err := resource.Apply(ctx, object.GetName(), object, options); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}
