package muc

import "github.com/muster-im/muster/stanza"

// Why a stanza is refused, as the counter of refusals says: more than the
// error's condition, of which several limits share one. What has no reason of
// its own is counted by its condition.
const (
	ReasonAccess             = "access"               // may not use the service
	ReasonAccessAdmin        = "access_admin"         // does not administer it
	ReasonAccessCreate       = "access_create"        // may not create rooms
	ReasonAccessPersistent   = "access_persistent"    // may not say whether a room is stored
	ReasonField              = "field_access"         // may not set another field of the form
	ReasonMaxRoomID          = "max_room_id"          // the room's address is too long
	ReasonMaxRoomName        = "max_room_name"        // its name
	ReasonMaxRoomDesc        = "max_room_desc"        // its description
	ReasonMaxUsers           = "max_users"            // the room is full
	ReasonMaxUserConferences = "max_user_conferences" // is in too many rooms
	ReasonBanned             = "banned"
	ReasonMembersOnly        = "members_only"
	ReasonNickConflict       = "nick_conflict" // somebody has the nickname
	ReasonNickReserved       = "nick_reserved" // or it is kept for him
	ReasonPassword           = "password"
	ReasonPasswordService    = "password_service" // gives no answer
	ReasonLocked             = "locked"           // the room is not configured yet
	ReasonOutside            = "outside"          // is not in the room
	ReasonRank               = "rank"             // affiliation or role is too low
	ReasonLastOwner          = "last_owner"
	ReasonVoice              = "voice" // is a visitor
	ReasonSubject            = "allow_change_subj"
	ReasonPrivateMessages    = "allow_private_messages"
	ReasonQueries            = "allow_query_users"
	ReasonRetraction         = "allow_retraction"
	ReasonInvitations        = "allow_user_invites"
	ReasonGroup              = "group"   // decides that, not the room
	ReasonPace               = "pace"    // too early
	ReasonBusy               = "busy"    // too much waits
	ReasonTimeout            = "timeout" // a deferred check took too long
	ReasonStore              = "store"   // fails
	ReasonArchive            = "archive" // fails
	ReasonFailure            = "failure" // the room's own
	ReasonShutdown           = "shutdown"
	ReasonNotFound           = "not_found"
	ReasonGone               = "destroyed"
	ReasonMalformed          = "malformed"
	ReasonUnsupported        = "unsupported"
	ReasonOther              = "other"
)

// reasonOf is why err refuses a stanza.
func reasonOf(err *stanza.Error) string {
	if err.Reason != "" {
		return err.Reason
	}
	switch err.Condition {
	case stanza.BadRequest, stanza.JIDMalformed:
		return ReasonMalformed
	case stanza.ItemNotFound:
		return ReasonNotFound
	case stanza.Gone:
		return ReasonGone
	case stanza.InternalServerError:
		return ReasonFailure
	case stanza.ResourceConstraint:
		return ReasonBusy
	case stanza.FeatureNotImplemented, stanza.ServiceUnavailable:
		return ReasonUnsupported
	case stanza.RemoteServerTimeout:
		return ReasonTimeout
	}
	return ReasonOther
}

// errorReply is st's refusal, counted. It has the numeric code that clients
// older than RFC 6120 read (XEP-0086), and that MongooseIM sends: a program that
// looks at it goes on working.
func (s *Service) errorReply(st *stanza.Stanza, err *stanza.Error) (stanza.Stanza, bool) {
	s.metrics.refused(err)
	coded := *err
	coded.Code = err.Condition.LegacyCode()
	if coded.Code == 503 && err.Type == stanza.Wait {
		coded.Code = 502 // a full room, with MongooseIM
	}
	return st.ErrorReply(&coded)
}
