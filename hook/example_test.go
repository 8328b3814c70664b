package hook_test

import (
	"errors"
	"fmt"

	"github.com/muster-im/muster/hook"
)

// order is an event.
type order struct {
	what string
	cups int
}

// A Filter may change an event, refuse it or swallow it; the first function that
// does not let it pass is the last one that sees it.
func ExampleFilter() {
	var before hook.Filter[order]
	before.Add("polite", 0, func(o *order) error {
		o.what += ", please"
		return nil
	})
	before.Add("tea house", 10, func(o *order) error { // runs first
		switch o.what {
		case "coffee":
			return errors.New("there is only tea")
		case "nothing":
			return hook.Handled
		}
		return nil
	})
	for _, what := range []string{"tea", "coffee", "nothing"} {
		o := order{what: what}
		err := before.Run(nil, &o)
		fmt.Println(o.what, err)
	}
	// Output:
	// tea, please <nil>
	// coffee there is only tea
	// nothing handled
}

// A Decide asks until somebody has an answer.
func ExampleDecide() {
	var price hook.Decide[order, int]
	price.Add("for free", 0, func(o *order) (int, bool) { return 0, o.cups > 9 })
	fmt.Println(price.Run(nil, &order{"tea", 2}, 3))
	fmt.Println(price.Run(nil, &order{"tea", 10}, 3))
	// Output:
	// 3 <nil>
	// 0 <nil>
}

// A Notify tells everybody, also if somebody panics.
func ExampleNotify() {
	var served hook.Notify[order]
	served.Add("clumsy", 0, func(*order) { panic("it is hot") })
	served.Add("guest", 0, func(o *order) { fmt.Println("thanks for the", o.what) })
	fmt.Println(served.Run(nil, &order{what: "tea"}))
	// Output:
	// thanks for the tea
	// hook clumsy: panic: it is hot
}
