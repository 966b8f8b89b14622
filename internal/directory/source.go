package directory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/strict"
	posternv1 "postern/proto/postern/v1"
)

// Source is a checked directory file, ready to Build. Only ParseYAML and ReadYAML make one.
type Source struct {
	authorities []*posternv1.Authority
	prisons     []*posternv1.Prison
	agreements  []*posternv1.Signed
	unread      []string // files the YAML names that nobody has read
}

// The file, as an operator writes it. The names are those of the protobuf fields, so a fault names both alike.
type (
	fileYAML struct {
		Authorities []authorityYAML `yaml:"authorities"`
		Prisons     []prisonYAML    `yaml:"prisons"`
		Agreements  []agreementYAML `yaml:"agreements"`
	}
	authorityYAML struct {
		Code                  string          `yaml:"code"`
		Name                  string          `yaml:"name"`
		NameCy                string          `yaml:"name_cy"`
		Jurisdiction          string          `yaml:"jurisdiction"`
		FrontDoors            []frontDoorYAML `yaml:"front_doors"`
		Champion              championYAML    `yaml:"champion"`
		Endpoint              *endpointYAML   `yaml:"endpoint"`
		RecipientKeyFile      string          `yaml:"recipient_key_file"` // beside the YAML; without it the authority is not enrolled
		AgeLimit              *uint32         `yaml:"age_limit"`          // default 18
		UndeliveredAfterHours *uint32         `yaml:"undelivered_after_hours"`
		Signposts             []serviceYAML   `yaml:"signposts"`
		StartDate             string          `yaml:"start_date"`
		EndDate               string          `yaml:"end_date"`
	}
	frontDoorYAML struct {
		Role            string      `yaml:"role"`
		Name            string      `yaml:"name"`
		Phone           string      `yaml:"phone"`
		OutOfHoursName  string      `yaml:"out_of_hours_name"`
		OutOfHoursPhone string      `yaml:"out_of_hours_phone"`
		Hours           []hoursYAML `yaml:"hours"`
	}
	hoursYAML struct {
		Days   string `yaml:"days"` // mon-fri, or mon,wed,fri
		Opens  string `yaml:"opens"`
		Closes string `yaml:"closes"`
	}
	championYAML struct {
		Role    string `yaml:"role"`
		Phone   string `yaml:"phone"`
		Mailbox string `yaml:"mailbox"`
	}
	endpointYAML struct {
		Mode    string `yaml:"mode"` // push or collect
		Address string `yaml:"address"`
	}
	serviceYAML struct {
		Name   string `yaml:"name"`
		Offers string `yaml:"offers"`
		Where  string `yaml:"where"` // where it is, or which places it serves
		Phone  string `yaml:"phone"`
		Web    string `yaml:"web"`
	}
	prisonYAML struct {
		ID           string       `yaml:"id"`
		Name         string       `yaml:"name"`
		NameCy       string       `yaml:"name_cy"`
		Jurisdiction string       `yaml:"jurisdiction"`
		Champion     championYAML `yaml:"champion"`
		Contracted   bool         `yaml:"contracted"`
	}
	agreementYAML struct {
		File string `yaml:"file"` // a serialized Signed, beside the YAML
	}
)

const (
	defaultAgeLimit              = 18
	defaultUndeliveredAfterHours = 24
)

// ParseYAML reads and checks a directory file and reports every problem at once. It reads no other file: a Source
// whose YAML names recipient keys or agreements can only be built after ReadYAML.
func ParseYAML(data []byte) (*Source, error) {
	return parse(data, func(string) (*posternv1.Signed, error) { return nil, errUnread })
}

// ReadYAML is ParseYAML for a file on disk, with the recipient keys and agreements that it names; their paths are
// relative to the folder of the file.
func ReadYAML(path string) (*Source, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "DIRECTORY_FILE", "The directory file %s cannot be read. Check the path and who may read it.", path).Because(err)
	}
	return parse(data, func(name string) (*posternv1.Signed, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s := &posternv1.Signed{}
		if proto.Unmarshal(b, s) != nil {
			return &posternv1.Signed{}, nil // it is there, and holds something else
		}
		return s, nil
	})
}

var errUnread = errors.New("directory: not read")

func parse(data []byte, read func(name string) (*posternv1.Signed, error)) (*Source, error) {
	var file fileYAML
	if err := strict.YAML(data, &file); err != nil {
		return nil, err
	}
	s := &Source{}
	var faults []fault.Field
	load := func(name, field, payloadType string) *posternv1.Signed {
		if name == "" {
			faults = append(faults, fault.Field{Path: field, Reason: "is missing.", Fix: "Name a file; its path is relative to the directory file."})
			return nil
		}
		signed, err := read(name)
		switch {
		case errors.Is(err, errUnread):
			s.unread = append(s.unread, name)
		case err != nil:
			faults = append(faults, fault.Field{Path: field, Reason: "names a file that cannot be read.", Fix: "Check the path; it is relative to the directory file."})
		case signed.GetPayloadType() != payloadType:
			faults = append(faults, fault.Field{Path: field, Reason: "names a file that holds something else.", Fix: "Name the file as its signers handed it over."})
		default:
			return signed
		}
		return nil
	}
	for i, a := range file.Authorities {
		m := a.message()
		if a.RecipientKeyFile != "" {
			m.RecipientKey = load(a.RecipientKeyFile, fmt.Sprintf("authorities[%d].recipient_key_file", i), typeRecipientKey)
		}
		s.authorities = append(s.authorities, m)
	}
	for _, p := range file.Prisons {
		s.prisons = append(s.prisons, &posternv1.Prison{Id: p.ID, Name: p.Name, NameCy: p.NameCy, Jurisdiction: p.Jurisdiction,
			Champion: p.Champion.message(), Contracted: p.Contracted})
	}
	c := content{authorities: s.authorities, prisons: s.prisons}
	for i, a := range file.Agreements {
		signed := load(a.File, fmt.Sprintf("agreements[%d].file", i), typeAgreement)
		if signed == nil {
			continue
		}
		m := &posternv1.DataSharingAgreement{}
		if err := proto.Unmarshal(signed.GetPayload(), m); err != nil {
			faults = append(faults, fault.Field{Path: fmt.Sprintf("agreements[%d].file", i), Reason: "does not hold an agreement.", Fix: "Have it made again."})
			continue
		}
		s.agreements = append(s.agreements, signed)
		c.agreements = append(c.agreements, m)
	}
	if err := fault.InvalidFields("DIRECTORY_INVALID", "The directory file has problems.", append(faults, c.check()...)); err != nil {
		return nil, err
	}
	return s, nil
}

func (a authorityYAML) message() *posternv1.Authority {
	m := &posternv1.Authority{
		Code: a.Code, Name: a.Name, NameCy: a.NameCy, Jurisdiction: a.Jurisdiction,
		Champion:              a.Champion.message(),
		AgeLimit:              orDefault(a.AgeLimit, defaultAgeLimit),
		UndeliveredAfterHours: orDefault(a.UndeliveredAfterHours, defaultUndeliveredAfterHours),
		StartDate:             a.StartDate, EndDate: a.EndDate,
	}
	if e := a.Endpoint; e != nil {
		// An unknown word becomes UNSPECIFIED here and below, and check says what to write instead.
		mode := posternv1.DeliveryMode_value["DELIVERY_MODE_"+strings.ToUpper(e.Mode)]
		m.Endpoint = &posternv1.Endpoint{Mode: posternv1.DeliveryMode(mode), Address: e.Address}
	}
	for _, d := range a.FrontDoors {
		m.FrontDoors = append(m.FrontDoors, d.message())
	}
	for _, s := range a.Signposts {
		m.Signposts = append(m.Signposts, &posternv1.Service{Name: s.Name, Offers: s.Offers, Where: s.Where, Phone: s.Phone, Web: s.Web})
	}
	return m
}

func (d frontDoorYAML) message() *posternv1.FrontDoor {
	m := &posternv1.FrontDoor{
		Role: posternv1.FrontDoorRole(posternv1.FrontDoorRole_value["FRONT_DOOR_ROLE_"+strings.ToUpper(d.Role)]),
		Name: d.Name, Phone: d.Phone, OutOfHoursName: d.OutOfHoursName, OutOfHoursPhone: d.OutOfHoursPhone,
	}
	for _, h := range d.Hours {
		m.Hours = append(m.Hours, &posternv1.OpeningHours{Days: parseDays(h.Days), Opens: h.Opens, Closes: h.Closes})
	}
	return m
}

func (c championYAML) message() *posternv1.Champion {
	return &posternv1.Champion{Role: c.Role, Phone: c.Phone, Mailbox: c.Mailbox}
}

var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// parseDays reads days such as "mon-fri", "mon,wed" or "mon-thu,sat" as ISO 8601 numbers; nil when it cannot.
func parseDays(s string) []uint32 {
	var days []uint32
	for part := range strings.SplitSeq(strings.ToLower(strings.ReplaceAll(s, " ", "")), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, last := slices.Index(dayNames, from), slices.Index(dayNames, to)
		if first < 0 || last < first {
			return nil
		}
		for d := first; d <= last; d++ {
			days = append(days, uint32(d+1))
		}
	}
	return days
}

func orDefault(n *uint32, def uint32) uint32 {
	if n == nil {
		return def
	}
	return *n
}
