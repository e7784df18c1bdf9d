//go:build race

package forward

// raceEnabled makes tests of quantity smaller: the race detector makes them
// ten times slower.
const raceEnabled = true
