package muc

import "fmt"

// Affiliation is a long-lived right in a room (XEP-0045 §5.2). They are
// ordered: a higher one has all rights of a lower one.
type Affiliation int8

// The affiliations.
const (
	Outcast Affiliation = iota - 1
	None
	Member
	Admin
	Owner
)

var affiliationNames = [...]string{"outcast", "none", "member", "admin", "owner"} //nolint:gochecknoglobals // a table

// String returns the word on the wire.
func (a Affiliation) String() string {
	if a.known() {
		return affiliationNames[a-Outcast]
	}
	return fmt.Sprintf("Affiliation(%d)", int8(a))
}

func (a Affiliation) known() bool { return a >= Outcast && a <= Owner }

// ParseAffiliation reads the word on the wire.
func ParseAffiliation(s string) (Affiliation, error) {
	for i, name := range affiliationNames {
		if s == name {
			return Affiliation(i) + Outcast, nil
		}
	}
	return None, fmt.Errorf("unknown affiliation %q", s)
}

// Role is a right while present in a room (XEP-0045 §5.1), ordered likewise.
type Role int8

// The roles. RoleNone means not in the room.
const (
	RoleNone Role = iota
	Visitor
	Participant
	Moderator
)

var roleNames = [...]string{"none", "visitor", "participant", "moderator"} //nolint:gochecknoglobals // a table

// String returns the word on the wire.
func (r Role) String() string {
	if r.known() {
		return roleNames[r]
	}
	return fmt.Sprintf("Role(%d)", int8(r))
}

func (r Role) known() bool { return r >= RoleNone && r <= Moderator }

// ParseRole reads the word on the wire.
func ParseRole(s string) (Role, error) {
	for i, name := range roleNames {
		if s == name {
			return Role(i), nil
		}
	}
	return RoleNone, fmt.Errorf("unknown role %q", s)
}
