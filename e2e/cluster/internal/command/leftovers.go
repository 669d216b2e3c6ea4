package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"longshore.dev/cluster/internal/leftover"
)

func leftovers(folders, args []string) error {
	now, err := leftover.Take(folders)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "snapshot":
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", " ")
		return encoder.Encode(now)
	case len(args) == 2 && args[0] == "diff":
		body, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		var before leftover.Snapshot
		if err := json.Unmarshal(body, &before); err != nil {
			return fmt.Errorf("%s: %w", args[1], err)
		}
		found := leftover.Since(before, now)
		for _, line := range found {
			fmt.Println(line)
		}
		if len(found) > 0 {
			return exitError(1)
		}
		return nil
	default:
		return errors.New("use `leftovers [--of DIR] snapshot` or `leftovers [--of DIR] diff FILE`")
	}
}
