package muc

import (
	"maps"
	"slices"

	"github.com/muster-im/muster/internal/entries"
	"github.com/muster-im/muster/jid"
)

// affiliationIndex finds entries of a room without looking through all of them,
// of which there may be a hundred thousand.
type affiliationIndex struct{ entries.Index }

// of returns who has the affiliation, in order.
func (x *affiliationIndex) of(a Affiliation) []jid.JID { return x.Of(rank(a)) }

func rank(a Affiliation) int { return int(a - Outcast) }

// compareJIDs orders bare addresses by local part, then by domain.
func compareJIDs(a, b jid.JID) int { return entries.Compare(a, b) }

// setRecord stores an entry in memory; None removes it but for Data.
func (r *Room) setRecord(rec AffiliationRecord) {
	if old, ok := r.affiliations[rec.JID]; ok {
		r.index.Unlist(old.JID, rank(old.Affiliation))
	}
	if r.replaceRecord(rec) {
		r.index.List(rec.JID, rank(rec.Affiliation))
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
		r.index.Release(old.JID, old.Nick)
	}
	if rec.Affiliation == None && len(rec.Data) == 0 {
		delete(r.affiliations, rec.JID)
		return false
	}
	r.affiliations[rec.JID] = rec
	r.index.Reserve(rec.JID, rec.Nick)
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
	r.index.Relist(changed, func(j jid.JID) (int, bool) {
		rec, ok := r.affiliations[j]
		return rank(rec.Affiliation), ok
	})
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
	for _, k := range slices.Concat(r.index.Looks.Alike(key, maps.Keys(r.index.Nicks)), r.staged.looks.Alike(key, maps.Keys(r.staged.nicks))) {
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
	owner := r.index.Nicks[key]
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
