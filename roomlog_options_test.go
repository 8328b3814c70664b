package muster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/xmpptest"
)

// filed is a server of whose files some are read when it has ended.
type filed struct {
	xmpptest.System
	check func() error
}

func (f *filed) Close() error { return errors.Join(f.System.Close(), f.check()) }

const logScript = `C romeo: <presence to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>
S romeo: <presence from='coven@conf.test/Romeo' …>…<status code='110'/>…<status code='170'/>…<status code='201'/>…</presence>
S romeo: <message type='groupchat' from='coven@conf.test' …><subject/></message>
C romeo: <iq type='set' id='c1' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>
S romeo: <iq type='result' id='c1' from='coven@conf.test'/>
C romeo: <message type='groupchat' id='m1' to='coven@conf.test'><body>see https://a.test/?x=1 ~s &lt;b></body></message>
S romeo: <message type='groupchat' id='m1' from='coven@conf.test/Romeo'>…</message>
# access_log: the field is not his, though the room is.
C romeo: <iq type='set' id='c2' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>
  <field var='muc#roomconfig_enablelogging'><value>1</value></field></x></query></iq>
S romeo: <iq type='error' id='c2' from='coven@conf.test'>…<error type='modify'>…<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error>…</iq>
wait 24h
C romeo: <message type='groupchat' id='m2' to='coven@conf.test'><body>/me sighs</body></message>
S romeo: <message type='groupchat' id='m2' from='coven@conf.test/Romeo'>…</message>
`

// TestRoomLogOptions: what each option of mod_muc_log does to the files of a
// room that is logged because default_room.logging says so.
func TestRoomLogOptions(t *testing.T) {
	t.Parallel()
	today := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	local := today.In(time.Local) //nolint:gosmopolitan // timezone = "local" is what is tested
	const woken = `restart
connect nurse
C nurse: <presence to='coven@conf.test/Nurse'><x xmlns='http://jabber.org/protocol/muc'/></presence>
S nurse: <presence from='coven@conf.test/Nurse' …>…<status code='110'/>…<status code='170'/>…</presence>
S nurse: <message type='groupchat' id='m1' …>…</message>
S nurse: <message type='groupchat' id='m2' …>…</message>
S nurse: <message type='groupchat' from='coven@conf.test' …><subject/></message>
C nurse: <presence type='unavailable' to='coven@conf.test/Nurse'><status>parting words</status></presence>
S nurse: <presence type='unavailable' from='coven@conf.test/Nurse' …>…<status code='110'/>…</presence>
`
	for _, c := range []struct {
		name, options, file string
		holds, lacks        []string
	}{
		{
			"defaults", "", "coven@conf.test/" + local.Format("2006/01/02") + ".html",
			[]string{
				"<!DOCTYPE html>", "<style>", `<a href="/">Home</a>`, `UTC` + local.Format("-07:00"), local.Format("[15:04:05]"),
				`<a href="https://a.test/?x=1" rel="nofollow noopener noreferrer">`, "~s &lt;b&gt;", `xmpp:coven@conf.test?join`,
				`href="../../` + local.AddDate(0, 0, 1).Format("2006/01/02") + `.html"`,
				"<details><summary>Configuration</summary>", "<li>Keep the room when everybody has left: <b>yes</b></li>", "<li>Who may see real addresses: <b>Moderators</b></li>",
			},
			[]string{"<b></span>", "sighs", "hush"},
		},
		{
			"pages", `dirtype = "plain"
dirname = "room_name"
file_format = "html"
css_file = "/log.css?a\"><script>"
timezone = "universal"
top_link = {target = "https://top.test/", text = "<Top>"}
spam_prevention = false
`, "coven/2000-01-01.html",
			[]string{
				`<link rel="stylesheet" href="/log.css?a&#34;&gt;&lt;script&gt;">`, `<a href="https://top.test/">&lt;Top&gt;</a>`, "UTC+00:00", "[00:00:00]",
				`<a href="https://a.test/?x=1" rel="noopener noreferrer">`, `href="2000-01-02.html"`,
			},
			[]string{"<style>", "nofollow", "<script>"},
		},
		{
			"text", "dirtype = \"subdirs\"\ndirname = \"room_jid\"\nfile_format = \"plaintext\"\ntimezone = \"universal\"\n", "coven@conf.test/2000/01/01.txt",
			[]string{"[00:00:00] Chatroom is created\n", "[00:00:00] Romeo joins the room\n", "[00:00:00] [Romeo] see https://a.test/?x=1 ~s <b>\n"},
			[]string{"DOCTYPE", "sighs"},
		},
		{
			"the next day", "file_format = \"plaintext\"\ntimezone = \"universal\"\n", "coven@conf.test/2000/01/02.txt",
			[]string{"* Romeo sighs\n", "] Chatroom is started\n", "] Nurse joins the room\n", "] Nurse leaves the room\n"},
			[]string{"Romeo joins", "parting words"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			outdir := filepath.Join(t.TempDir(), "logs")
			err := xmpptest.Try(t, logScript+woken, func(t testing.TB, files map[string]string) xmpptest.System {
				files["muster.toml"] = fmt.Sprintf(`[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
[acl]
boss = [{user = "boss"}]
[access]
loggers = [{acl = "boss", value = "allow"}]
[modules.mod_muc]
host = "conf.test"
default_room.logging = true
default_room.persistent = true
default_room.members_by_default = false
default_room.allow_visitor_status = false
default_room.password = "hush"
[modules.mod_muc_log]
access_log = "loggers"
outdir = %q
%s`, outdir, c.options)
				return &filed{xmpptest.NewServer(t, files), func() error { return readLog(filepath.Join(outdir, c.file), c.holds, c.lacks) }}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// readLog reads a file that must hold some texts, and lack others.
func readLog(name string, holds, lacks []string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := string(data)
	for _, part := range holds {
		if !strings.Contains(text, part) {
			err = errors.Join(err, fmt.Errorf("the log lacks %s", part))
		}
	}
	for _, part := range lacks {
		if strings.Contains(text, part) {
			err = errors.Join(err, fmt.Errorf("the log holds %s", part))
		}
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}
