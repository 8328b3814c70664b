// Package nearest finds what somebody has probably meant who has misspelt a word.
// It holds no state.
package nearest

// Word returns the one of known that is nearest to what was written, "" if none is near.
func Word(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		d := editDistance(word, k)
		if d > max(len(word), len(k))/2 {
			continue
		}
		if d < distance || d == distance && best != "" && commonStart(word, k) > commonStart(word, best) {
			best, distance = k, d
		}
	}
	return best
}

func commonStart(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
