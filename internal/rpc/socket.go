package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"postern/internal/fault"
)

// ListenLocal listens on a unix socket at path, mode 0600 from the first moment. A socket that is left of a server that
// died is replaced; when a server answers there the fault is Exists, reason ALREADY_RUNNING. Closing the listener
// removes the socket.
func ListenLocal(path string) (net.Listener, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, errSocket(err)
	}
	defer dir.Close()
	// Two servers that start at once must not each find the other's socket dead. The lock is on the folder, so nothing
	// is left of it, and it is held only from here to the rename.
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errSocket(err)
	}
	if conn, err := dialSocket(context.Background(), path); err == nil {
		conn.Close()
		return nil, fault.New(fault.Exists, "ALREADY_RUNNING", "A server is already running on this data folder. Stop it first.")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fault.New(fault.Precondition, "SOCKET", "There is a file where the control socket should be. Move it away.")
	}
	// Bound in a folder that is ours alone, given its mode, and only then moved to where others can see it.
	hidden, err := os.MkdirTemp(dir.Name(), ".sock-*")
	if err != nil {
		return nil, errSocket(err)
	}
	defer os.RemoveAll(hidden)
	bound := filepath.Join(hidden, "s")
	lis, err := bindSocket(dir, filepath.Join(filepath.Base(hidden), "s"))
	if err != nil {
		return nil, errSocket(err)
	}
	lis.SetUnlinkOnClose(false) // it would unlink the name it was bound to
	if err := errors.Join(os.Chmod(bound, 0o600), os.Rename(bound, path)); err != nil {
		return nil, errSocket(errors.Join(err, lis.Close()))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, errSocket(errors.Join(err, lis.Close()))
	}
	return &socketListener{UnixListener: lis, path: path, info: info}, nil
}

// socketListener removes its socket when it is closed, but not one that took its place.
type socketListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

func (l *socketListener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.info) {
		_ = os.Remove(l.path) // a socket that stays is stale, and the next server replaces it
	}
	return l.UnixListener.Close()
}

// A unix socket's address holds 107 bytes (unix(7)), and data folders can be deeper. The kernel follows the link of an
// open folder, so the address is always short.
func short(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

func bindSocket(dir *os.File, name string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: short(dir, name)})
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short(dir, filepath.Base(path)))
}

// peerUID asks the kernel who connected (SO_PEERCRED, unix(7)).
func peerUID(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

func errSocket(err error) error {
	return fault.New(fault.Unavailable, "SOCKET", "The control socket cannot be made. Check that the data folder exists and that the server may write there.").Because(err)
}
