package stanza

const (
	// maxPage bounds a page of a list.
	maxPage = 500
	// maxUnpaged bounds such a list for who asks for no page. Clients that know no
	// pages need all members, to encrypt for them.
	maxUnpaged = 5_000
)

// CutList returns which part of a list of n items a query asks for, and what to say
// of it (XEP-0059); a nil result if it is to be sent as if there were no pages.
// place finds an item by its id: where it is or would be, and whether it is
// there; id names the item at a place.
func CutList(query *Element, n int, place func(id string) (int, bool, error), id func(int) string) (from, to int, result *PageResult, err error) {
	p, err := ParsePage(query)
	if err != nil {
		return 0, 0, nil, NewError(Modify, BadRequest, err.Error())
	}
	if p == nil {
		if n <= maxUnpaged {
			return 0, n, nil, nil
		}
		p = &Page{Max: maxUnpaged, Index: -1}
	} else if p.Max < 0 || p.Max > maxPage {
		p.Max = maxPage
	}
	if from, to, err = p.part(n, place); err != nil {
		return 0, 0, nil, err
	}
	result = &PageResult{Index: from, Count: n}
	if from < to {
		result.First, result.Last = id(from), id(to-1)
	}
	return from, to, result, nil
}

// part returns what of a list of n items p asks for.
func (p *Page) part(n int, place func(id string) (int, bool, error)) (from, to int, err error) {
	from, to = 0, n
	if p.Index > 0 { // XEP-0059 §2.6
		from = min(p.Index, n)
	}
	if p.After != "" {
		i, there, err := place(p.After)
		if err != nil {
			return 0, 0, err
		}
		if from = i; there {
			from++
		}
	}
	if p.Before != "" {
		if to, _, err = place(p.Before); err != nil {
			return 0, 0, err
		}
	}
	to = max(from, to)
	if p.Before != "" || p.Last { // §2.3, §2.5
		return max(from, to-p.Max), to, nil
	}
	return from, min(to, from+p.Max), nil
}

// NoPage is the answer to an id that names nothing (XEP-0059 §2.2).
func NoPage() error {
	return NewError(Cancel, ItemNotFound, "There is no such page.")
}
