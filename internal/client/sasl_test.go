package client

import "testing"

// TestKeys: a salted password is derived once for all logins that it fits.
func TestKeys(t *testing.T) {
	t.Parallel()
	derived := 0
	derive := func() ([]byte, error) {
		derived++
		return []byte{byte(derived)}, nil
	}
	k := NewKeys()
	one := keyOf{"secret", "salt", 4096, 32}
	for _, of := range []keyOf{one, one, {"secret", "pepper", 4096, 32}, {"guess", "salt", 4096, 32}, {"secret", "salt", 8192, 32}, {"secret", "salt", 4096, 20}} {
		if key, err := k.derive(of, derive); err != nil || key[0] != byte(derived) {
			t.Errorf("%+v: key %v, %v", of, key, err)
		}
	}
	if derived != 5 {
		t.Errorf("derived %d keys, want 5", derived)
	}
	var none *Keys
	for range 2 {
		if _, err := none.derive(one, derive); err != nil {
			t.Error(err)
		}
	}
	if derived != 7 {
		t.Errorf("without a memory %d keys were derived, want one for each login", derived-5)
	}
}
