package policy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"
)

// Serve answers the CNI plugin on a socket that only root can open.
func (e *Engine) Serve(ctx context.Context, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go e.answer(ctx, connection)
	}
}

func (e *Engine) answer(ctx context.Context, connection net.Conn) {
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(2 * catchUp)); err != nil {
		slog.Error("a call of the CNI plugin has no deadline", "error", err)
		return
	}
	body, err := e.respond(ctx, connection)
	status := "ok"
	if err != nil {
		slog.Error("a call of the CNI plugin failed", "error", err)
		status = "error"
		body, _ = json.Marshal(map[string]any{"cniVersion": "0.4.0", "code": 11, "msg": err.Error()})
	}
	if _, err := connection.Write(append([]byte(status+"\n"), body...)); err != nil {
		slog.Error("the CNI plugin is gone", "error", err)
	}
}

func (e *Engine) respond(ctx context.Context, in io.Reader) ([]byte, error) {
	call, err := readInvocation(in)
	if err != nil {
		return nil, err
	}
	return e.handle(ctx, call)
}
