package mem

import "hash/fnv"

// node is a treap whose nodes never change: a write makes new ones along its path, so that whoever holds a root holds
// that moment for ever. Its shape follows from its keys alone, so two runs of one seed do the same work.
type node struct {
	key         string
	value       []byte
	priority    uint64
	left, right *node
}

// priority is a key's place in the heap.
func priority(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	x := h.Sum64() // short keys differ in few of its bits; spread them
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	return x ^ x>>32
}

// get returns the value under a key.
func (n *node) get(key string) []byte {
	for n != nil && n.key != key {
		if key < n.key {
			n = n.left
		} else {
			n = n.right
		}
	}
	if n == nil {
		return nil
	}
	return n.value
}

// split returns the records below a key and those above it; the one under the key is in neither.
func (n *node) split(key string) (below, above *node) {
	switch {
	case n == nil:
		return nil, nil
	case key < n.key:
		c := *n
		below, c.left = n.left.split(key)
		return below, &c
	case key > n.key:
		c := *n
		c.right, above = n.right.split(key)
		return &c, above
	}
	return n.left, n.right
}

// join returns the records of two trees, of which all keys in a are below those in b.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		c := *a
		c.right = join(a.right, b)
		return &c
	}
	c := *b
	c.left = join(a, b.left)
	return &c
}

// put returns the tree with a record; a nil value takes it out.
func (n *node) put(key string, value []byte) *node {
	below, above := n.split(key)
	if value == nil {
		return join(below, above)
	}
	return join(join(below, &node{key: key, value: value, priority: priority(key)}), above)
}

// ascend calls fn for the records with from <= key < to, "" being no bound, until it says that there is no more to do.
func (n *node) ascend(from, to string, fn func(*node) bool) bool {
	if n == nil {
		return true
	}
	in := n.key >= from && (to == "" || n.key < to)
	return (n.key < from || n.left.ascend(from, to, fn)) && (!in || fn(n)) && (to != "" && n.key >= to || n.right.ascend(from, to, fn))
}

// descend is ascend in descending order.
func (n *node) descend(from, to string, fn func(*node) bool) bool {
	if n == nil {
		return true
	}
	in := n.key >= from && (to == "" || n.key < to)
	return (to != "" && n.key >= to || n.right.descend(from, to, fn)) && (!in || fn(n)) && (n.key < from || n.left.descend(from, to, fn))
}
