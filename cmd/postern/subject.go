package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/plain"
	"postern/internal/subject"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// deskSubjectCommand is `postern desk subject`. The prison number is read from a file or from standard input, and never from
// the command line, which every user of the machine can see.
func (a *app) deskSubjectCommand() *cobra.Command {
	var from string
	req := &localv1.MakeSubjectCopyRequest{}
	c := &cobra.Command{Use: "subject OUT", Args: exactly(1),
		Short: "Write all that the desk holds about one person to the new folder OUT, for whoever answers their request; the prison number is read from standard input (role SAFEGUARDING_LEAD)"}
	c.Flags().StringVar(&from, "number", "-", "the file with the prison number, - for standard input")
	c.Flags().StringArrayVar(&req.Also, "also", nil, "the id or reference of a notification of the person that was erased, or that another prison sent (may be repeated)")
	c.RunE = func(c *cobra.Command, args []string) error {
		out, err := newFolder(args[0])
		if err != nil {
			return err
		}
		if req.PrisonNumber, err = a.readNumber(from); err != nil {
			return err
		}
		req.Language = string(a.language())
		return with(c.Context(), a, config.LoadDesk, func(ctx context.Context, conn *grpc.ClientConn) error {
			made, err := writeCopy(ctx, localv1.NewSubjectServiceClient(conn), req, out)
			if err != nil {
				return err
			}
			return a.printCopy(out, made)
		})
	}
	return c
}

// newFolder is the absolute path of a folder that is to be made.
func newFolder(name string) (string, error) {
	out, err := filepath.Abs(name)
	if err != nil {
		return "", fault.From(err)
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if slices.ContainsFunc(words, func(w string) bool { _, is := form.PrisonNumber(w); return is }) {
		return "", usage("OUT is a folder to be made, and stands where every user of this machine can read it; the prison number is read from standard input, or from a file with --number")
	}
	if _, err := os.Lstat(out); err == nil {
		return "", fault.New(fault.Precondition, "EXISTS", "OUT is there already. Name a folder that is not there yet.")
	}
	if info, err := os.Stat(filepath.Dir(out)); err != nil || !info.IsDir() {
		return "", fault.New(fault.NotFound, "NO_FOLDER", "The folder in which OUT is to be is not there. Make it, or name another.")
	}
	return out, nil
}

// readNumber reads the first line of a file, or of standard input; whoever types is asked.
func (a *app) readNumber(name string) (string, error) {
	from := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", noFile(name, err)
		}
		defer f.Close()
		from = f
	} else if f, ok := a.in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprint(a.err, a.language().Text("subject.number", nil)+" ")
		}
	}
	line, err := bufio.NewReader(io.LimitReader(from, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fault.From(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")), nil
}

// writeCopy has the desk make a copy and writes it beside OUT, which it becomes only when all of it is there and is what was
// recorded.
func writeCopy(ctx context.Context, desk localv1.SubjectServiceClient, req *localv1.MakeSubjectCopyRequest, out string) (made *localv1.SubjectCopy, err error) {
	beside, err := os.MkdirTemp(filepath.Dir(out), ".postern-copy-") // mode 0700
	if err != nil {
		return nil, cannotWrite(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(beside))
		}
	}()
	root, err := os.OpenRoot(beside)
	if err != nil {
		return nil, cannotWrite(err)
	}
	defer root.Close()
	stream, err := desk.MakeSubjectCopy(ctx, req)
	if err != nil {
		return nil, err
	}
	last, files := []byte{}, uint32(0)
	for made == nil {
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fault.New(fault.Unavailable, "COPY_ENDED", "The copy ended before it was complete. Run it again.")
		}
		if err != nil {
			return nil, err
		}
		if made = next.GetMade(); made != nil {
			break
		}
		if err := writeNew(root, next.GetFile()); err != nil {
			return nil, cannotWrite(err)
		}
		last, files = next.GetFile().GetContent(), files+1
	}
	if sum := sha256.Sum256(last); files != made.GetFiles() || string(sum[:]) != string(made.GetIndexSha256()) {
		return nil, fault.New(fault.Internal, "COPY_DIFFERS", "What came from the desk is not what it recorded. Run it again.")
	}
	if _, err := os.Lstat(out); err == nil { // made meanwhile: an empty folder would be replaced
		return nil, fault.New(fault.Precondition, "EXISTS", "OUT is there already. Name a folder that is not there yet.")
	}
	return made, cannotWrite(os.Rename(beside, out))
}

// writeNew writes one file, which only its owner reads, and has it on the disk.
func writeNew(root *os.Root, file *localv1.SubjectFile) error {
	name := filepath.FromSlash(file.GetName())
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(file.GetContent())
	return errors.Join(err, f.Sync(), f.Close())
}

func cannotWrite(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Internal, "NOT_WRITTEN", "The copy cannot be written there. See that there is room, and that you may write to the folder.").Because(err)
}

func (a *app) printCopy(out string, made *localv1.SubjectCopy) error {
	if a.output == "json" {
		m := copyMap(made)
		m["path"] = out
		return a.printJSON(m)
	}
	lang := a.language()
	a.line("%s", lang.Text("subject.written", words.Args{"path": visible(out)}))
	a.line("  %s", lang.Text("subject.written_of", words.Args{"forms": made.GetForms(), "notifications": len(made.GetNotificationIds()), "drafts": made.GetDrafts(),
		"arrivals": made.GetArrivals()}))
	if made.GetForms()+made.GetDrafts()+made.GetArrivals() == 0 && len(made.GetNotificationIds()) == 0 {
		a.line("  %s", lang.Text("subject.written_nothing", nil))
	}
	a.line("  %s", lang.Text("subject.written_held", words.Args{"parts": made.GetHeldBack(), "page": subject.Officer}))
	a.line("  %s", lang.Text("subject.written_recorded", words.Args{"id": made.GetId(), "digest": hex.EncodeToString(made.GetIndexSha256())}))
	return nil
}

// copyMap is a copy as JSON has it: digests as everybody writes them.
func copyMap(made *localv1.SubjectCopy) map[string]any {
	m := plain.Map(made)
	m["index_sha256"] = hex.EncodeToString(made.GetIndexSha256())
	return m
}

// deskSubjectCopiesCommand is `postern desk subject-copies`.
func (a *app) deskSubjectCopiesCommand() *cobra.Command {
	return &cobra.Command{Use: "subject-copies", Args: exactly(0),
		Short: "List the copies that were made for people who asked, newest first: when, by whom, of which notifications (role SAFEGUARDING_LEAD)",
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c.Context(), a, config.LoadDesk, func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := localv1.NewSubjectServiceClient(conn).ListSubjectCopies(ctx, &localv1.ListSubjectCopiesRequest{})
				if err != nil {
					return err
				}
				return list(a, all.GetCopies(), copyMap, "None was made.", []string{"MADE", "BY", "NOTIFICATIONS", "HELD BACK", "INDEX SHA-256", "ID"},
					func(made *localv1.SubjectCopy) []string {
						return []string{when(made.GetMakeTime()), made.GetStaffId(), plainNumber(uint32(len(made.GetNotificationIds()))), plainNumber(made.GetHeldBack()),
							hex.EncodeToString(made.GetIndexSha256()), made.GetId()}
					})
			})
		}}
}
