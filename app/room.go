package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/jid"
)

// roomCommands are the commands about rooms.
type roomCommands struct {
	List         roomListCommand         `cmd:"" help:"List rooms."`
	Show         roomShowCommand         `cmd:"" help:"Show a room with its settings."`
	Create       roomCreateCommand       `cmd:"" help:"Create a room."`
	Config       roomConfigCommand       `cmd:"" help:"Show or change the settings of a room."`
	Affiliations roomAffiliationsCommand `cmd:"" help:"List who belongs to a room."`
	Affiliate    roomAffiliateCommand    `cmd:"" help:"Make somebody owner, admin, member, outcast or none of these."`
	Occupants    roomOccupantsCommand    `cmd:"" help:"List who is in a room."`
	Role         roomRoleCommand         `cmd:"" help:"Give somebody who is in a room another role."`
	Kick         roomKickCommand         `cmd:"" help:"Put somebody out of a room."`
	Message      roomMessageCommand      `cmd:"" help:"Say something in a room."`
	Invite       roomInviteCommand       `cmd:"" help:"Invite people into a room."`
	History      roomHistoryCommand      `cmd:"" help:"Show what was said in a room."`
	Destroy      roomDestroyCommand      `cmd:"" help:"Destroy a room for good."`
	Unused       roomUnusedCommand       `cmd:"" help:"List or destroy rooms that nobody uses."`
}

// Help shows examples.
func (roomCommands) Help() string {
	return `The server must be running. A room is named by its address, or by its name alone
if the server has rooms at one domain besides the chats of groups. Rooms that sleep are found like others.`
}

// roomFlags name a room.
type roomFlags struct {
	Room string `arg:"" help:"Address of the room, or its name if the server has rooms at one domain."`
	socketFlags
}

// open returns a client and the room's address.
func (f *roomFlags) open(ctx context.Context, e *env) (*admin.Client, jid.JID, error) {
	c, err := f.client(e)
	if err != nil {
		return nil, jid.JID{}, err
	}
	name := f.Room
	if !strings.Contains(name, "@") {
		info, err := c.Info(ctx)
		if err != nil {
			return nil, jid.JID{}, f.explain(err)
		}
		hosts := info.RoomHosts
		if len(hosts) > 1 { // the chats of groups are found by their groups
			hosts = slices.DeleteFunc(hosts, func(h string) bool { return h == info.GroupChatHost })
		}
		if len(hosts) != 1 {
			return nil, jid.JID{}, fmt.Errorf("%q: at which domain? Say one of %s", name, atHosts(name, hosts))
		}
		name += "@" + hosts[0]
	}
	j, err := jid.Parse(name)
	if err != nil {
		return nil, jid.JID{}, fmt.Errorf("%.80q: %w", f.Room, err)
	}
	return c, j, nil
}

// do asks for something of the room; more are the steps of the path behind it.
func (f *roomFlags) do(ctx context.Context, e *env, method string, query url.Values, in, out any, more ...string) (jid.JID, error) {
	c, room, err := f.open(ctx, e)
	if err != nil {
		return room, err
	}
	path := admin.Path(append([]string{"rooms", room.String()}, more...)...)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return room, f.explain(c.Do(ctx, method, path, in, out))
}

// roomsOf asks for the rooms of a host, or of a domain of rooms.
func roomsOf(ctx context.Context, client *admin.Client, host string) (url.Values, error) {
	if host == "" {
		return queryOf(), nil
	}
	info, err := client.Info(ctx)
	if err != nil {
		return nil, err
	}
	if slices.Contains(info.RoomHosts, host) && !slices.Contains(info.Hosts, host) {
		return queryOf("domain", host), nil
	}
	return queryOf("host", host), nil
}

func queryOf(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// table prints rows with columns.
func (e *env) table(rows [][]string) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
	oneLine := strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ", "\v", " ", "\f", " ")
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = oneLine.Replace(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t")) //nolint:errcheck // see Flush
	}
	return w.Flush()
}

type roomListCommand struct {
	Host   string `arg:"" optional:"" help:"Host, or domain of rooms, whose rooms are listed (default: the first host)."`
	Search string `placeholder:"TEXT" help:"Only rooms with this in their name or title."`
	User   string `placeholder:"NAME" help:"Only rooms to which this user of the host belongs, or in which he is."`
	socketFlags
}

// Run lists rooms.
func (c *roomListCommand) Run(ctx context.Context, e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	query, err := roomsOf(ctx, client, c.Host)
	if err != nil {
		return c.explain(err)
	}
	list := []roomadmin.Room{}
	if c.User != "" {
		var own admin.UserRooms
		err = client.Do(ctx, http.MethodGet, admin.Path("users", c.User, "rooms")+"?"+query.Encode(), nil, &own)
		list = own.Items
	} else {
		if c.Search != "" {
			query.Set("search", c.Search)
		}
		for r, e := range admin.List[roomadmin.Room](ctx, client, "/rooms", query) {
			if err = e; e != nil {
				break
			}
			list = append(list, r)
		}
	}
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		return e.printJSON(list)
	}
	if len(list) == 0 {
		at := ""
		if query.Has("host") {
			at = "@" + c.Host
		}
		e.printf("There are no such rooms: muster room create NAME%s makes one.\n", at)
		return nil
	}
	return e.table(roomRows(list))
}

func roomRows(list []roomadmin.Room) [][]string {
	rows := [][]string{{"ROOM", "TITLE", "INSIDE", "KIND", "LAST USED"}}
	for i := range list {
		r := &list[i]
		kind, used := "public", "now"
		if !r.Public {
			kind = "hidden"
		}
		if !r.Persistent {
			kind += ", temporary"
		}
		if r.Affiliation != "" {
			kind += ", " + r.Affiliation
		}
		if r.Used != nil && r.Occupants == 0 {
			used = r.Used.Local().Format("2006-01-02 15:04")
		}
		rows = append(rows, []string{r.JID.String(), r.Title, strconv.Itoa(r.Occupants), kind, used})
	}
	return rows
}

type roomShowCommand struct{ roomFlags }

// Run shows a room.
func (c *roomShowCommand) Run(ctx context.Context, e *env) error {
	var d roomadmin.Details
	if _, err := c.do(ctx, e, http.MethodGet, nil, nil, &d); err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(d)
	}
	rows := [][]string{{"room", d.JID.String()}, {"inside", strconv.Itoa(d.Occupants)}, {"created", d.Created.Local().Format("2006-01-02 15:04")}}
	if d.Subject != nil {
		rows = append(rows, []string{"subject", d.Subject.Text})
	}
	return e.table(append(rows, settingRows(d.Config)...))
}

func settingRows(c roomadmin.Config) [][]string {
	rows := make([][]string, 0, len(c))
	for name, v := range c {
		rows = append(rows, []string{name, fmt.Sprint(v)})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return rows
}

// settings reads NAME=VALUE by the types that the server says.
func (f *roomFlags) settings(ctx context.Context, client *admin.Client, given []string) (roomadmin.Config, error) {
	var known admin.RoomSettings
	if err := client.Do(ctx, http.MethodGet, "/room-settings", nil, &known); err != nil {
		return nil, f.explain(err)
	}
	c := roomadmin.Config{}
	for _, pair := range given {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want NAME=VALUE, like title=Kitchen; muster room config ROOM shows the names", pair)
		}
		c[name] = value
		i := slices.IndexFunc(known.Items, func(s roomadmin.Setting) bool { return s.Name == name })
		if i < 0 {
			continue // the server says what there is
		}
		switch known.Items[i].Type {
		case roomadmin.TypeBool:
			if yes, err := strconv.ParseBool(value); err == nil {
				c[name] = yes
			}
		case roomadmin.TypeNumber:
			if n, err := strconv.Atoi(value); err == nil {
				c[name] = n
			}
		case roomadmin.TypeList:
			c[name] = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	return c, nil
}

type roomCreateCommand struct {
	roomFlags
	Settings []string `arg:"" optional:"" placeholder:"NAME=VALUE" help:"Settings; what is not given is as in default_room."`
	Owner    string   `placeholder:"ADDRESS" help:"Account that is to own the room."`
	Subject  string   `placeholder:"TEXT" help:"Subject line."`
}

// Help shows examples.
func (roomCreateCommand) Help() string {
	return `The room is there, as it is wanted, before anybody can enter it. Examples:

    muster room create kitchen
    muster room create kitchen title="The kitchen" members_only=true --owner juliet@localhost`
}

// Run creates a room.
func (c *roomCreateCommand) Run(ctx context.Context, e *env) error {
	client, room, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	n := roomadmin.NewRoom{JID: room, Subject: c.Subject}
	if n.Config, err = c.settings(ctx, client, c.Settings); err != nil {
		return err
	}
	if c.Owner != "" {
		if n.Owner, err = address(ctx, client, c.Owner); err != nil {
			return err
		}
	}
	var d roomadmin.Details
	if err := client.Do(ctx, http.MethodPost, "/rooms", n, &d); err != nil {
		return c.explain(err)
	}
	if c.JSON {
		return e.printJSON(d)
	}
	e.printf("created %s\n", room)
	return nil
}

type roomConfigCommand struct {
	roomFlags
	Settings []string `arg:"" optional:"" placeholder:"NAME=VALUE" help:"Settings to change, all of them or none."`
}

// Help shows examples.
func (roomConfigCommand) Help() string {
	return `People in the room are told as if an owner had changed it. Examples:

    muster room config kitchen                             shows all settings
    muster room config kitchen title="The kitchen" max_users=50
    muster room config kitchen password=                   takes the password away`
}

// Run shows or changes settings.
func (c *roomConfigCommand) Run(ctx context.Context, e *env) error {
	method, now := http.MethodGet, roomadmin.Config{}
	var in any
	if len(c.Settings) > 0 {
		client, _, err := c.open(ctx, e)
		if err != nil {
			return err
		}
		if in, err = c.settings(ctx, client, c.Settings); err != nil {
			return err
		}
		method = http.MethodPatch
	}
	if _, err := c.do(ctx, e, method, nil, in, &now, "config"); err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(now)
	}
	return e.table(settingRows(now))
}

type roomMessageCommand struct {
	roomFlags
	Text    string  `arg:"" optional:"" help:"What is to be said."`
	From    string  `placeholder:"ADDRESS" help:"Who says it, who must be inside (default: the room itself)."`
	To      string  `placeholder:"NICK" help:"Only to this occupant."`
	Subject *string `placeholder:"TEXT" help:"Change the subject line instead."`
}

// Run says something.
func (c *roomMessageCommand) Run(ctx context.Context, e *env) error {
	m := roomadmin.Message{To: c.To, Body: c.Text, Subject: c.Subject}
	if c.From != "" {
		var err error
		if m.From, err = jid.Parse(c.From); err != nil {
			return err
		}
	}
	var said roomadmin.Said
	if _, err := c.do(ctx, e, http.MethodPost, nil, m, &said, "messages"); err != nil {
		return err
	}
	switch {
	case c.JSON:
		return e.printJSON(said)
	case c.Subject != nil:
		e.printf("the subject is changed\n")
	case said.ID != "":
		e.printf("said, with the id %s\n", said.ID)
	default:
		e.printf("said\n")
	}
	return nil
}

type roomInviteCommand struct {
	roomFlags
	Who    []string `arg:"" help:"Addresses of people."`
	From   string   `placeholder:"ADDRESS" help:"Who invites (default: the room itself)."`
	Reason string   `placeholder:"TEXT" help:"What they are told."`
	Direct bool     `help:"Let the invitation come from the inviter himself, not through the room."`
}

// Run invites people.
func (c *roomInviteCommand) Run(ctx context.Context, e *env) error {
	client, room, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	v := roomadmin.Invitation{Reason: c.Reason, Direct: c.Direct}
	for _, s := range c.Who {
		j, err := address(ctx, client, s)
		if err != nil {
			return c.explain(err)
		}
		v.To = append(v.To, j)
	}
	if c.From != "" {
		if v.From, err = address(ctx, client, c.From); err != nil {
			return c.explain(err)
		}
	}
	if err := client.Do(ctx, http.MethodPost, admin.Path("rooms", room.String(), "invitations"), v, nil); err != nil {
		return c.explain(err)
	}
	if !c.JSON {
		for _, j := range v.To {
			e.printf("invited %s\n", j)
		}
	}
	return nil
}

type roomHistoryCommand struct {
	roomFlags
	Limit  int    `short:"n" default:"50" help:"How many messages at most."`
	Before string `placeholder:"ID" help:"Only messages before this one."`
}

// Run shows messages.
func (c *roomHistoryCommand) Run(ctx context.Context, e *env) error {
	var page roomadmin.HistoryPage
	if _, err := c.do(ctx, e, http.MethodGet, queryOf("limit", strconv.Itoa(c.Limit), "before", c.Before), nil, &page, "messages"); err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(page)
	}
	for i := range page.Messages {
		m := &page.Messages[i]
		text := m.Body
		if m.Subject != nil {
			text = "subject: " + *m.Subject
		}
		who := m.Nick + ":"
		if m.Nick == "" { // the room itself
			who = "*"
		}
		e.printf("%s  %s %s\n", m.Time.Local().Format("2006-01-02 15:04:05"), who, text)
	}
	if page.Before != "" {
		e.printf("There are older ones: --before %s\n", page.Before)
	}
	return nil
}

type roomDestroyCommand struct {
	roomFlags
	Reason      string `placeholder:"TEXT" help:"What people are told."`
	Alternative string `placeholder:"ROOM" help:"Address of the room to which people are to go instead."`
	Yes         bool   `help:"Really destroy it, with everything in it."`
}

// Run destroys a room.
func (c *roomDestroyCommand) Run(ctx context.Context, e *env) error {
	if !c.Yes {
		return fmt.Errorf("this would destroy %s with all that was said in it, for good: look at it with muster room show %[1]s, and then add --yes", c.Room)
	}
	room, err := c.do(ctx, e, http.MethodDelete, queryOf("reason", c.Reason, "alternative", c.Alternative), nil, nil)
	if err == nil && !c.JSON {
		e.printf("destroyed %s\n", room)
	}
	return err
}

type roomUnusedCommand struct {
	Host    string `arg:"" optional:"" help:"Host, or domain of rooms, whose rooms are meant (default: the first host)."`
	Days    int    `default:"90" help:"For how many days nobody has been in them."`
	Destroy bool   `help:"Destroy them; --yes is needed, too."`
	Yes     bool   `help:"Really destroy them, with everything in them."`
	Reason  string `placeholder:"TEXT" help:"What those are told who look for such a room later."`
	socketFlags
}

// Help shows examples.
func (roomUnusedCommand) Help() string {
	return `It is known to the hour when somebody was last in a room. Examples:

    muster room unused --days 365                          lists them
    muster room unused --days 365 --destroy --yes          destroys them for good`
}

// Run lists or destroys rooms.
func (c *roomUnusedCommand) Run(ctx context.Context, e *env) error {
	if c.Destroy && !c.Yes {
		return errors.New("this would destroy rooms with everything in them: look at the list without --destroy, and then add --yes")
	}
	if c.Days < 1 {
		return fmt.Errorf("--days: want a positive number, got %d", c.Days)
	}
	client, err := c.client(e)
	if err != nil {
		return err
	}
	query, err := roomsOf(ctx, client, c.Host)
	if err != nil {
		return c.explain(err)
	}
	list := []roomadmin.Room{}
	in := admin.UnusedRooms{IdleHours: int(time.Duration(c.Days) * 24), DryRun: !c.Destroy, Reason: c.Reason}
	for more := true; more; more = in.After != "" {
		var page api.Page[roomadmin.Room]
		if err := client.Do(ctx, http.MethodPost, "/unused-rooms/destroy?"+query.Encode(), in, &page); err != nil {
			return c.explain(err)
		}
		list, in.After = append(list, page.Items...), page.Next
	}
	switch {
	case c.JSON:
		return e.printJSON(list)
	case len(list) == 0:
		e.printf("All rooms have been used in the last %d days.\n", c.Days)
		return nil
	case c.Destroy:
		e.printf("destroyed %d rooms\n", len(list))
		return nil
	}
	return e.table(roomRows(list))
}
