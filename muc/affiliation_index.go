package muc

import (
	"cmp"
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
)

// affiliationIndex finds entries of a room without looking through all of them,
// of which there may be a hundred thousand.
type affiliationIndex struct {
	lists [Owner - Outcast + 1][]jid.JID // by affiliation, each in the order of compareJIDs
	nicks map[string]jid.JID             // who has reserved a nickname, by its key
	looks jid.NickIndex                  // of nicks
}

// of returns who has the affiliation, in order.
func (x *affiliationIndex) of(a Affiliation) []jid.JID { return x.lists[a-Outcast] }

// compareJIDs orders bare addresses by local part, then by domain.
func compareJIDs(a, b jid.JID) int {
	return cmp.Or(cmp.Compare(a.Local(), b.Local()), cmp.Compare(a.Domain(), b.Domain()))
}

func (x *affiliationIndex) list(rec *AffiliationRecord) {
	list := &x.lists[rec.Affiliation-Outcast]
	if n := len(*list); n == 0 || compareJIDs((*list)[n-1], rec.JID) < 0 { // as they come from the store
		*list = append(*list, rec.JID)
	} else if i, there := slices.BinarySearchFunc(*list, rec.JID, compareJIDs); !there {
		*list = slices.Insert(*list, i, rec.JID)
	}
}

func (x *affiliationIndex) unlist(rec *AffiliationRecord) {
	list := &x.lists[rec.Affiliation-Outcast]
	if i, there := slices.BinarySearchFunc(*list, rec.JID, compareJIDs); there {
		*list = slices.Delete(*list, i, i+1)
	}
}

// relist brings the lists in line with the entries of many people at once.
func (x *affiliationIndex) relist(changed map[jid.JID]bool, records map[jid.JID]AffiliationRecord) {
	var added [len(x.lists)][]jid.JID
	for j := range changed {
		if rec, ok := records[j]; ok {
			added[rec.Affiliation-Outcast] = append(added[rec.Affiliation-Outcast], j)
		}
	}
	for i, list := range x.lists {
		slices.SortFunc(added[i], compareJIDs)
		merged, next := make([]jid.JID, 0, len(list)+len(added[i])), added[i]
		for _, j := range list {
			if changed[j] {
				continue
			}
			for len(next) > 0 && compareJIDs(next[0], j) < 0 {
				merged, next = append(merged, next[0]), next[1:]
			}
			merged = append(merged, j)
		}
		x.lists[i] = append(merged, next...)
	}
}

func (x *affiliationIndex) reserve(rec *AffiliationRecord) {
	if rec.Nick == "" {
		return
	}
	key, err := jid.NickKey(rec.Nick)
	if err != nil { // nothing is reserved
		return
	}
	if _, taken := x.nicks[key]; taken {
		return
	}
	if x.nicks == nil {
		x.nicks = make(map[string]jid.JID)
	}
	x.nicks[key] = rec.JID
	x.looks.Add(key)
}

func (x *affiliationIndex) release(rec *AffiliationRecord) {
	if rec.Nick == "" {
		return
	}
	if key, err := jid.NickKey(rec.Nick); err == nil && x.nicks[key] == rec.JID {
		delete(x.nicks, key)
		x.looks.Remove(key)
	}
}

// setRecord stores an entry in memory; None removes it but for Data.
func (r *Room) setRecord(rec AffiliationRecord) {
	if old, ok := r.affiliations[rec.JID]; ok {
		r.index.unlist(&old)
	}
	if r.replaceRecord(rec) {
		r.index.list(&rec)
	}
}

// replaceRecord is setRecord without the lists. It reports whether there is an
// entry now.
func (r *Room) replaceRecord(rec AffiliationRecord) bool {
	for key, value := range rec.Data {
		if value == "" { // as in Store
			rec.Data = maps.Clone(rec.Data)
			delete(rec.Data, key)
		}
	}
	if old, ok := r.affiliations[rec.JID]; ok {
		r.index.release(&old)
	}
	if rec.Affiliation == None && len(rec.Data) == 0 {
		delete(r.affiliations, rec.JID)
		return false
	}
	r.affiliations[rec.JID] = rec
	r.index.reserve(&rec)
	return true
}

// manyChanges is the number of changes from which one walk through the lists
// costs less than a move of their ends for each.
const manyChanges = 32

// changeRecords stores the entries of a change.
func (r *Room) changeRecords(changes []affiliationChange) {
	if len(changes) < manyChanges {
		for i := range changes {
			r.setRecord(changes[i].record)
		}
		return
	}
	changed := make(map[jid.JID]bool, len(changes))
	for i := range changes {
		r.replaceRecord(changes[i].record)
		changed[changes[i].record.JID] = true
	}
	r.index.relist(changed, r.affiliations)
}

// setRecords stores the entries of a room that is loaded. In order each goes to
// the end of its list.
func (r *Room) setRecords(list []AffiliationRecord) {
	r.affiliations = make(map[jid.JID]AffiliationRecord, len(list))
	slices.SortFunc(list, func(a, b AffiliationRecord) int { return compareJIDs(a.JID, b.JID) })
	for i := range list {
		r.setRecord(list[i])
	}
}

// reservedBy returns for whom a nickname is reserved, or will be after the event
// at hand: if that is nobody, for whom but for who himself one is that looks the
// same. It is zero if for nobody.
func (r *Room) reservedBy(who jid.JID, key string) jid.JID {
	if holder := r.reservedKey(key); !holder.IsZero() {
		return holder
	}
	for _, k := range slices.Concat(r.index.looks.Alike(key, maps.Keys(r.index.nicks)), r.staged.looks.Alike(key, maps.Keys(r.staged.nicks))) {
		if holder := r.reservedKey(k); !holder.IsZero() && holder != who {
			return holder
		}
	}
	return jid.JID{}
}

// reservedKey returns for whom exactly that nickname is reserved.
func (r *Room) reservedKey(key string) jid.JID {
	if j, ok := r.staged.nicks[key]; ok && r.affiliationStaged(j).reserves(key) {
		return j
	}
	owner := r.index.nicks[key]
	if rec := r.affiliationStaged(owner); !rec.reserves(key) {
		return jid.JID{}
	}
	return owner
}

// reserves reports whether the entry reserves the nickname with that key.
func (rec AffiliationRecord) reserves(key string) bool {
	if rec.Affiliation == None || rec.Nick == "" {
		return false
	}
	own, err := jid.NickKey(rec.Nick)
	return err == nil && own == key
}
