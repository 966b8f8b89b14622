# The program hands the policy sets where JSON has lists only. This is what a plain OPA needs to be asked the same.
package bench

import rego.v1

decision := answer if answer := data.postern.sharing.decision with input as asked

asked := object.union(input, {
	"parent": sections(input.parent),
	"children": [sections(child) | some child in input.children],
	"agreement": object.union(input.agreement, {
		"parent": {name | some name in input.agreement.parent},
		"child": {name | some name in input.agreement.child},
	}),
})

sections(of) := object.union(of, {
	"offered": {name | some name in of.offered},
	"permitted": {name | some name in of.permitted},
})
