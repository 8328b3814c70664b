package server

import (
	"strconv"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/muclog"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// roomLogEnd is what the last lines of room logs may take.
const roomLogEnd = 2 * time.Second

// buildRoomLogs starts the writer of room logs, if there are any. It ends after
// the rooms, whose end it logs.
func (s *Server) buildRoomLogs(cfg *config.Config) {
	m := cfg.Modules.MUCLog
	if m == nil || !cfg.HasRooms() {
		return
	}
	o := muclog.Options{
		Dir: cfg.RoomLogs(), Plain: m.Dirtype == "plain", LocalPart: m.Dirname == "room_name", HTML: m.FileFormat == "html",
		CSS: m.CSSFile, TopTarget: m.TopLink.Target, TopText: m.TopLink.Text, NoFollow: m.SpamPrevention,
		Location: time.Local, Logger: s.logger("muclog"), Registerer: s.registry,
	}
	if m.Timezone == "universal" {
		o.Location = time.UTC
	}
	s.roomLog = muclog.New(o)
	s.onEnd("room logs", roomLogEnd, s.roomLog.Close)
}

// logRooms lets the rooms of a domain, which have settings, be logged.
func (s *Server) logRooms(o *muc.Options, at config.RoomService, settings func() []muc.Setting) {
	if s.roomLog == nil {
		return
	}
	o.Defaults[muclog.FieldLogging] = []string{strconv.FormatBool(at.MUC.DefaultRoom.Logging)}
	o.Extensions = append(o.Extensions, s.roomLog.Rooms(func(who jid.JID) bool {
		m := s.config.Load().Modules.MUCLog
		return m != nil && s.policies.Load().rules.Allows(m.AccessLog, at.Host, who)
	}, settings))
}
