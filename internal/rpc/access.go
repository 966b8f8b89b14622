package rpc

import (
	"errors"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// roles is a set of posternv1.Role.
type roles uint32

func (r roles) has(role posternv1.Role) bool { return r&(1<<role) != 0 }

// everyRole may ask for health: any party we know may learn whether we serve, and nobody else can connect at all.
const everyRole = ^roles(1 << posternv1.Role_ROLE_UNSPECIFIED)

// CheckAccess reports every method of the services that does not say who may call it, or says it of a role that calls
// nothing. A server runs it at start, a test over every descriptor there is.
func CheckAccess(services ...protoreflect.ServiceDescriptor) error {
	var errs []error
	for _, s := range services {
		for i := range s.Methods().Len() {
			_, err := callersOf(s.Methods().Get(i))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// callersOf reads the `callers` option of a method.
func callersOf(m protoreflect.MethodDescriptor) (roles, error) {
	if m.Parent().FullName() == protoreflect.FullName(healthv1.Health_ServiceDesc.ServiceName) {
		return everyRole, nil
	}
	list, _ := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
	var set roles
	for _, r := range list {
		switch r {
		case posternv1.Role_ROLE_DESK, posternv1.Role_ROLE_HUB, posternv1.Role_ROLE_INBOX, posternv1.Role_ROLE_AUDITOR:
			set |= 1 << r
		default: // an operator signs and calls nothing; a role of a later version is none of ours
			return 0, errAccess(m.FullName(), "names a role that may not call")
		}
	}
	if set == 0 {
		return 0, errAccess(m.FullName(), "does not say who may call it: give it the option (callers)")
	}
	return set, nil
}

// serviceCallers reads the callers of every method of a registered service from its descriptor.
func serviceCallers(service string) (map[string]roles, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if err != nil || !ok {
		return nil, errAccess(protoreflect.FullName(service), "has no descriptor")
	}
	if err := CheckAccess(sd); err != nil {
		return nil, err
	}
	callers := map[string]roles{}
	for i := range sd.Methods().Len() {
		m := sd.Methods().Get(i)
		callers[string(m.Name())], _ = callersOf(m)
	}
	return callers, nil
}

func errAccess(name protoreflect.FullName, what string) error {
	return fault.Newf(fault.Precondition, "ACCESS", "%s %s.", name, what)
}
