package image

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Result says what Load did with one image.
type Result struct {
	Image
	// Already means that the image was there and nothing was read.
	Already bool
	// Replaced is the image that had one of the names before, now removed.
	Replaced string
}

// visible is how long the CRI plugin may take to notice an import.
const visible = 20 * time.Second

// Connect opens the container runtime.
func Connect(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// Load imports an archive unless all of its images are there.
func Load(ctx context.Context, socket, path string) ([]Result, error) {
	images, err := Inspect(path)
	if err != nil {
		return nil, err
	}
	connection, err := Connect(socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	client := cri.NewImageServiceClient(connection)

	var results []Result
	missing := false
	for _, image := range images {
		result := Result{Image: image, Already: true}
		for _, name := range image.Names {
			has, err := idOf(ctx, client, name)
			if err != nil {
				return nil, err
			}
			if has != image.ID {
				result.Already, result.Replaced, missing = false, has, true
			}
		}
		results = append(results, result)
	}
	if !missing {
		return results, nil
	}
	if out, err := exec.CommandContext(ctx, "ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", path).CombinedOutput(); err != nil {
		forget(ctx, socket, results)
		return nil, fmt.Errorf("importing %s: %w: %s", path, err, out)
	}
	for _, result := range results {
		if err := awaitImage(ctx, client, result.Image); err != nil {
			return nil, err
		}
		if err := removeReplaced(ctx, client, result.Replaced); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// forget removes the names of images whose import failed: ctr gives them out
// before it unpacks, and a name without content would pass for an image that is
// there, for pods and for the next Load.
func forget(ctx context.Context, socket string, results []Result) {
	for _, result := range results {
		if !result.Already {
			args := append([]string{"--address", socket, "--namespace", "k8s.io", "images", "rm", "--sync"}, result.Names...)
			_ = exec.CommandContext(ctx, "ctr", args...).Run()
		}
	}
}

func awaitImage(ctx context.Context, client cri.ImageServiceClient, image Image) error {
	ctx, cancel := context.WithTimeout(ctx, visible)
	defer cancel()
	for _, name := range image.Names {
		for {
			has, err := idOf(ctx, client, name)
			if err != nil {
				return fmt.Errorf("%s was imported but does not show: %w", name, err)
			}
			if has == image.ID {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s was imported but shows as %q after %s, want %s", name, has, visible, image.ID)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// removeReplaced drops an image that lost its last name, so that the layers
// only it had do not stay for ever.
func removeReplaced(ctx context.Context, client cri.ImageServiceClient, id string) error {
	if id == "" {
		return nil
	}
	status, err := client.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: id}})
	if err != nil {
		return err
	}
	if status.Image == nil || len(status.Image.RepoTags) > 0 {
		return nil
	}
	_, err = client.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: id}})
	return err
}

func idOf(ctx context.Context, client cri.ImageServiceClient, name string) (string, error) {
	status, err := client.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil || status.Image == nil {
		return "", err
	}
	return status.Image.Id, nil
}
