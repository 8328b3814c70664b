package xmlstream

import "strings"

// checkDeclaration checks what stands between "<?" and "?>" at the start of a
// stream: an XML 1.0 declaration that names UTF-8 or nothing (RFC 6120 §11.5,
// §11.6).
func checkDeclaration(s string) error {
	rest, ok := strings.CutPrefix(s, "xml")
	if !ok || rest == "" || !isSpace(rest[0]) {
		return errorf(Restricted, "processing instruction")
	}
	for i, name := range [...]string{"version", "encoding", "standalone"} {
		trimmed := strings.TrimLeft(rest, " \t\r\n")
		after, ok := strings.CutPrefix(trimmed, name)
		if !ok {
			if i == 0 {
				return errorf(NotWellFormed, "XML declaration without version")
			}
			continue
		}
		if trimmed == rest {
			return errorf(NotWellFormed, "no space before %s in the XML declaration", name)
		}
		value, tail, ok := declaredValue(after)
		if !ok {
			return errorf(NotWellFormed, "%s in the XML declaration has no value", name)
		}
		if err := checkDeclared(name, value); err != nil {
			return err
		}
		rest = tail
	}
	if strings.TrimLeft(rest, " \t\r\n") != "" {
		return errorf(NotWellFormed, "malformed XML declaration")
	}
	return nil
}

func declaredValue(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t\r\n"), "=")
	s = strings.TrimLeft(s, " \t\r\n")
	if !ok || s == "" || s[0] != '"' && s[0] != '\'' {
		return "", "", false
	}
	return strings.Cut(s[1:], s[:1])
}

func checkDeclared(name, value string) error {
	switch name {
	case "version":
		if value != "1.0" {
			return errorf(NotWellFormed, "XML version %q", value)
		}
	case "encoding":
		if !strings.EqualFold(value, "utf-8") {
			return errorf(UnsupportedEncoding, "encoding %q", value)
		}
	case "standalone":
		if value != "yes" && value != "no" {
			return errorf(NotWellFormed, "standalone is %q", value)
		}
	}
	return nil
}
