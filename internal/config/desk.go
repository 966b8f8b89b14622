package config

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/desk"
	desksite "postern/internal/desk/site"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/postcode"
	"postern/internal/schema"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Desk is the configuration of `postern desk`.
type Desk struct {
	Common `yaml:",inline"`

	Hub         Peer        `yaml:"hub"`
	Unit        string      `yaml:"unit"`          // the unit of the prison, such as Reception
	ReplyTo     ReplyTo     `yaml:"reply_to"`      // whom a receiving team can ask
	LawfulBasis LawfulBasis `yaml:"lawful_basis"`  // where a form names none
	Reference   string      `yaml:"reference_key"` // file with the desk's own key for references, 64 hex digits, mode 0600
	Postcodes   string      `yaml:"postcodes"`     // a postcode table, or a folder of them, of which the newest counts; staff choose the authority when empty
	Staff       []Staff     `yaml:"staff"`         // who may use the control socket
	PollSeconds float64     `yaml:"poll_seconds"`  // how often to ask for updates and the directory; 5 when empty
	Retry       Retry       `yaml:"retry"`         // how submissions are tried again
	Arrivals    string      `yaml:"arrivals"`      // a folder of CSV files that say who came to the prison; what they say stays on this machine
	DraftDays   float64     `yaml:"draft_days"`    // after how many days a draft is erased that nobody goes on with; 5 when empty
	FormDays    float64     `yaml:"form_days"`     // after how many days a form is erased whose business is finished; 90 when empty
	Web         *Web        `yaml:"web"`           // the pages for staff; none when empty
}

// ReplyTo is whom a receiving team can ask: a role, never a person.
type ReplyTo struct {
	Role    string `yaml:"role"`
	Phone   string `yaml:"phone"`
	Mailbox string `yaml:"mailbox"`
	Hours   string `yaml:"hours"`
}

// LawfulBasis is the law a sharing rests on, by short codes such as PUBLIC_TASK.
type LawfulBasis struct {
	Article6        string `yaml:"article6"`
	Schedule1       uint32 `yaml:"schedule1_paragraph"`
	Article9        string `yaml:"article9_condition"` // stated with every form alike; default art9.2.g, substantial public interest
	Gateway         string `yaml:"gateway"`
	Confidentiality string `yaml:"confidentiality"`
}

// Staff maps a user of the machine to a member of staff.
type Staff struct {
	UID  uint32   `yaml:"uid"`
	ID   string   `yaml:"staff_id"`
	Role string   `yaml:"role"` // such as RECEPTION_OFFICER
	Also []string `yaml:"also"` // further roles, where one person does several jobs, such as PUBLIC_PROTECTION
}

// LoadDesk reads a desk's configuration.
func LoadDesk(path string) (*Desk, error) {
	c := &Desk{}
	err := load(path, c, &c.Common, func() map[string]string {
		return c.Hub.required(map[string]string{
			"reference_key": c.Reference, "reply_to.role": c.ReplyTo.Role, "reply_to.phone": c.ReplyTo.Phone,
			"lawful_basis.article6": c.LawfulBasis.Article6, "lawful_basis.gateway": c.LawfulBasis.Gateway,
		})
	})
	err = checked(path, err, slices.Concat(c.Hub.check(), c.Retry.check(), c.Web.check(desksite.Roles()),
		negative("", map[string]float64{"draft_days": c.DraftDays, "form_days": c.FormDays, "poll_seconds": c.PollSeconds})))
	if err == nil {
		_, _, err = c.codes()
	}
	return c, err
}

// Build opens the desk's database and makes the desk.
func (c *Desk) Build(ctx context.Context, rt Runtime) (*Service, error) {
	cfg, err := c.deskConfig()
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx, rt, schema.Desk)
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(c.Hub, b, rt)
	if err != nil {
		return nil, closing(err, b)
	}
	cfg.Identity, cfg.Anchors, cfg.Store, cfg.Vault = b.identity, b.anchors, b.store, b.vault
	cfg.Hub, cfg.Directory = posternv1.NewSubmissionServiceClient(conn), posternv1.NewDirectoryServiceClient(conn)
	cfg.Clock, cfg.Rand, cfg.Log, cfg.Metrics = rt.Clock, rt.Rand, rt.Log, b.metrics
	cfg.Prover, cfg.HubPhone = posternv1.NewAuditServiceClient(conn), c.Hub.Phone
	if cfg.First, err = c.checkpoints(c.Hub); err != nil {
		return nil, closing(err, b)
	}
	d, err := desk.Open(ctx, cfg)
	if err != nil {
		return nil, closing(err, b)
	}
	s := c.service("desk "+b.identity.Party().ID, b, rt, "")
	s.pages = pages{&c.Common, c.Web, desksite.Roles(), func(shell web.Config) (*web.Site, error) { return desksite.New(d, shell) }}
	s.Local = func(r grpc.ServiceRegistrar) {
		localv1.RegisterDeskServiceServer(r, d)
		localv1.RegisterPinServiceServer(r, d)
		localv1.RegisterCaseworkServiceServer(r, d)
		localv1.RegisterCounterServiceServer(r, d)
		localv1.RegisterSubjectServiceServer(r, d)
		localv1.RegisterOperationsServiceServer(r, d)
		localv1.RegisterLogTrustServiceServer(r, d.Log())
	}
	s.Checks = d.Checks()
	s.Run, s.Close = d.Run, closeAll(conn, b.store)
	return s, nil
}

// deskConfig is what the file alone says.
func (c *Desk) deskConfig() (desk.Config, error) {
	keys, err := c.Hub.logKeys()
	if err != nil {
		return desk.Config{}, err
	}
	key, err := c.ownKey("reference_key", c.Reference, "desk new-key")
	if err != nil {
		return desk.Config{}, err
	}
	ref, err := hex.DecodeString(key)
	if err != nil || len(ref) != 32 {
		return desk.Config{}, fault.InvalidFields("BAD_CONFIG", "The desk's configuration has a fault.", []fault.Field{
			{Path: "reference_key", Reason: "The file does not hold 64 hex digits.", Fix: "Restore the desk's own key; a new one would not find people entered before."}})
	}
	var table *postcode.Table
	if c.Postcodes != "" {
		if table, err = postcode.Open(c.resolve(c.Postcodes)); err != nil {
			return desk.Config{}, err
		}
	}
	arrivals := ""
	if c.Arrivals != "" {
		arrivals = c.resolve(c.Arrivals)
	}
	staff, basis, err := c.codes()
	return desk.Config{
		Arrivals: arrivals, DraftLife: days(c.DraftDays), FormLife: days(c.FormDays),
		Postcodes: table, LogKeys: keys, RefKey: ref, Unit: c.Unit, Basis: basis, Staff: staff, Poll: seconds(c.PollSeconds, 5*time.Second), Backoff: c.Retry.backoff(),
		ReplyTo: &posternv1.ReplyTo{Role: c.ReplyTo.Role, Phone: c.ReplyTo.Phone, Mailbox: c.ReplyTo.Mailbox, Hours: c.ReplyTo.Hours},
	}, err
}

func days(n float64) time.Duration { return time.Duration(n * float64(24*time.Hour)) }

// codes reads everything in the file that is a code.
func (c *Desk) codes() (map[uint32]desk.Staff, *posternv1.LawfulBasis, error) {
	var wrong []fault.Field
	staff := map[uint32]desk.Staff{}
	for i, s := range c.Staff {
		enum(&wrong, fmt.Sprintf("staff[%d].role", i), posternv1.StaffRole(0), s.Role)
		for j, role := range s.Also {
			enum(&wrong, fmt.Sprintf("staff[%d].also[%d]", i, j), posternv1.StaffRole(0), role)
		}
		member, err := desk.StaffOf(s.ID, slices.Concat([]string{s.Role}, s.Also)...)
		if err != nil && s.ID == "" {
			wrong = append(wrong, fault.Field{Path: fmt.Sprintf("staff[%d].staff_id", i), Reason: "Missing.", Fix: "Give the member of staff the id that decisions name."})
		}
		staff[s.UID] = member
	}
	basis := &posternv1.LawfulBasis{
		Article6:           enum(&wrong, "lawful_basis.article6", posternv1.Article6Basis(0), c.LawfulBasis.Article6),
		Confidentiality:    enum(&wrong, "lawful_basis.confidentiality", posternv1.Confidentiality(0), c.LawfulBasis.Confidentiality),
		Schedule1Paragraph: c.LawfulBasis.Schedule1,
		Article9Condition:  cmp.Or(c.LawfulBasis.Article9, "art9.2.g"),
		Gateway:            c.LawfulBasis.Gateway,
	}
	return staff, basis, fault.InvalidFields("BAD_CONFIG", "The desk's configuration has faults.", wrong)
}

// enum reads a short enum name.
func enum[E interface {
	~int32
	protoreflect.Enum
}](wrong *[]fault.Field, path string, zero E, short string) E {
	n, ok := plain.Value(zero, short)
	if !ok || n == 0 {
		var codes []string
		values := zero.Descriptor().Values()
		for i := 1; i < values.Len(); i++ { // number 0 is no code
			codes = append(codes, plain.Enum(E(values.Get(i).Number())))
		}
		*wrong = append(*wrong, fault.Field{Path: path, Reason: "Not a known code.", Fix: "Use one of: " + strings.Join(codes, ", ") + "."})
	}
	return E(n)
}
