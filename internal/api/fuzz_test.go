package api_test

import (
	"encoding/json"
	"testing"
)

// FuzzBody: whatever a body is, it is understood or refused, never a fault of
// ours; and what is understood is what was sent.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x","size":3,"color":"red","tags":["a"],"more":{"k":1},"inner":{"rate":1.5},"extra":[{}],"flag":true,"words":{"":""}}`,
		`{"name":"x","name":"y"}`, `{"Name":"x"}`, `{"name":"\ud800"}`, `{"name":"x","size":1e0}`, `{"name":"x","more":{"a":-2147483649}}`,
		`{"name":"x","extra":[[[[null]]]]}`, `[}`, `{"name":"x"}]`, "\ufeff{}", `{"name":"x","inner":{"rate":1e400}}`, `{"name":"x","inner":null}`,
		`{"name":"x","size":-0}`, `{"name":"x","size":01}`, `{"name":"x",}`, `{"name":"x" "size":1}`, `{"name" 1}`, `{:}`, `nul`,
	} {
		f.Add([]byte(seed))
	}
	w := newWorld(nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		w.got = nil
		w.logs.Reset()
		rec := w.do(t, "POST", "/api/v1/things", string(body), "Content-Type: application/json")
		switch rec.Code {
		case 200:
			if !json.Valid(body) || w.got == nil || w.got.Name == "" {
				t.Errorf("%q was understood as %+v", body, w.got)
			}
		case 400, 422:
			if w.got != nil {
				t.Errorf("%q was refused and done: %+v", body, w.got)
			}
			wantProblem(t, rec)
		default:
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}
