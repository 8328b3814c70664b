package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, which is 100 on all
// architectures that Go knows.
const tick = time.Second / 100

// usage is what processes have used up to now.
type usage struct {
	cpu time.Duration // user and system, with that of children that have ended
	rss int64         // bytes
}

// process is one line of /proc.
type process struct {
	pid, parent int
	usage
}

// measure returns what pids and all their descendants have used.
func measure(pids []int) (usage, error) {
	var sum usage
	if len(pids) == 0 {
		return sum, nil
	}
	all, err := processes()
	if err != nil {
		return sum, err
	}
	children := make(map[int][]int)
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	seen := make(map[int]bool)
	var add func(pid int)
	add = func(pid int) {
		if seen[pid] {
			return // two of pids may be parent and child
		}
		seen[pid] = true
		sum.cpu += all[pid].cpu
		sum.rss += resident(all[pid])
		for _, c := range children[pid] {
			add(c)
		}
	}
	for _, pid := range pids {
		if _, ok := all[pid]; !ok {
			return sum, fmt.Errorf("there is no process %d", pid)
		}
		add(pid)
	}
	return sum, nil
}

func processes() (map[int]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("measure processes: %w", err)
	}
	all := make(map[int]process)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if p, ok := parseStat(pid, data); ok {
			all[pid] = p
		}
	}
	return all, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)).
func parseStat(pid int, data []byte) (process, bool) {
	_, rest, ok := cutLast(data, ')') // the name, in parentheses, may hold anything
	fields := strings.Fields(string(rest))
	const state = 3 // the first field of rest, by its number in the manual
	number := func(field int) int64 {
		if !ok || field-state >= len(fields) {
			ok = false
			return 0
		}
		n, err := strconv.ParseInt(fields[field-state], 10, 64)
		ok = ok && err == nil
		return n
	}
	p := process{pid: pid, parent: int(number(4))}
	for field := 14; field <= 17; field++ { // utime, stime, cutime, cstime
		p.cpu += time.Duration(number(field)) * tick
	}
	p.rss = number(24) * int64(os.Getpagesize())
	return p, ok
}

// resident returns the memory of a process. What stat says lags behind by some
// pages per thread; the exact number needs the right to trace the process.
func resident(p process) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/smaps_rollup")
	if err != nil {
		return p.rss
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line) // Rss: 1234 kB
		if len(fields) < 2 || fields[0] != "Rss:" {
			continue
		}
		if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return kib << 10
		}
	}
	return p.rss
}

func cutLast(data []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.LastIndexByte(data, sep); i >= 0 {
		return data[:i], data[i+1:], true
	}
	return data, nil, false
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
