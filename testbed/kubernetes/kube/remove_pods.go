package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-client/pkg"
)

const criTimeout = 30 * time.Second

// Stopping a sandbox also takes its network down, by the plugins that put it up.
func newRemovePodsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove-pods SOCKET",
		Short: "Remove all pods of a container runtime, with their containers and networks.",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return removePods(context.Background(), args[0])
		},
	}
}

func removePods(ctx context.Context, socket string) error {
	runtime, err := cri.NewRemoteRuntimeService(ctx, socket, criTimeout, nil, false)
	if err != nil {
		return err
	}
	sandboxes, err := runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		return err
	}
	failures := make([]error, len(sandboxes))
	for i, sandbox := range sandboxes {
		if err := runtime.StopPodSandbox(ctx, sandbox.Id); err != nil {
			failures[i] = fmt.Errorf("stopping pod %s: %w", sandbox.Metadata.Name, err)
		} else {
			failures[i] = runtime.RemovePodSandbox(ctx, sandbox.Id)
		}
	}
	return errors.Join(failures...)
}
