package c2s

import (
	"context"
	"log/slog"
	"net"

	"github.com/muster-im/muster/internal/stream"
)

// LevelTrace is the level at which everything that is received and sent is
// logged, without the texts in it.
const LevelTrace = slog.LevelDebug - 4

// tracer returns what logs the XML of a connection. The level may change while
// the connection is there.
func (s *Server) tracer(remote net.Addr) func(direction string, data []byte) {
	ctx := context.Background()
	return func(direction string, data []byte) {
		if s.log.Enabled(ctx, LevelTrace) {
			s.log.LogAttrs(ctx, LevelTrace, "xml", slog.String("direction", direction),
				slog.String("data", string(stream.Mask(nil, data))), slog.String("remote", remote.String()))
		}
	}
}
