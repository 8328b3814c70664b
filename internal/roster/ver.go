package roster

import (
	"strconv"
	"strings"
)

// ver is a roster's version (RFC 6121 §2.6): that of what is stored, and what groups
// make of it. The zero ver is that of a roster of which nobody has asked for one.
type ver struct {
	stored int64
	groups uint64
	known  bool
}

// ver returns the version of a roster of which so much is stored.
func (sh *sharing) ver(version int64) ver {
	if sh == nil {
		return ver{stored: version, known: true}
	}
	return ver{stored: version, groups: sh.digest, known: sh.exact}
}

// appendAttr appends the attribute that says it, nothing if it is not known.
func (v ver) appendAttr(dst []byte) []byte {
	if !v.known {
		return dst
	}
	dst = strconv.AppendInt(append(dst, " ver='"...), v.stored, 10)
	if v.groups != 0 {
		dst = strconv.AppendUint(append(dst, '.'), v.groups, 16)
	}
	return append(dst, '\'')
}

// parseVer reads a version that a client has.
func parseVer(text string) (version int64, digest uint64, ok bool) {
	stored, rest, divided := strings.Cut(text, ".")
	version, err := strconv.ParseInt(stored, 10, 64)
	if err != nil || !divided {
		return version, 0, err == nil
	}
	digest, err = strconv.ParseUint(rest, 16, 64)
	return version, digest, err == nil
}
