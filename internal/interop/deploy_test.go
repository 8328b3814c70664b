package interop_test

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// dockerfile returns the instructions of a Dockerfile, by stage.
func dockerfile(t *testing.T) (stages [][]string) {
	t.Helper()
	data, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\\\n", "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "FROM "):
			stages = append(stages, []string{line})
		default:
			stages[len(stages)-1] = append(stages[len(stages)-1], line)
		}
	}
	return stages
}

// argument returns what follows a Dockerfile's instruction.
func argument(t *testing.T, stage []string, instruction string) string {
	t.Helper()
	for _, line := range stage {
		if after, ok := strings.CutPrefix(line, instruction+" "); ok {
			return after
		}
	}
	t.Fatalf("no %s in %q", instruction, stage)
	return ""
}

func TestDockerfile(t *testing.T) {
	stages := dockerfile(t)
	if len(stages) != 2 || stages[1][0] != "FROM scratch" {
		t.Fatalf("want a build and an image from scratch, got %q", stages)
	}
	goVersion, err := exec.Command("go", "mod", "edit", "-json", "../../go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Go string }
	if err := json.Unmarshal(goVersion, &mod); err != nil || !strings.HasPrefix(mod.Go, strings.TrimPrefix(strings.Fields(stages[0][0])[1], "golang:")+".") {
		t.Errorf("%s, but go.mod says %s (%v)", stages[0][0], mod.Go, err)
	}
	image := stages[1]
	if user := argument(t, image, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s: want numbers, and not root's", user)
	}
	if got := argument(t, image, "VOLUME"); got != "/data" {
		t.Errorf("VOLUME %s", got)
	}
	_, health, _ := strings.Cut(argument(t, image, "HEALTHCHECK"), "CMD ")
	for _, command := range []string{health, argument(t, image, "CMD"), argument(t, image, "ENTRYPOINT")} {
		var args []string
		if err := json.Unmarshal([]byte(command), &args); err != nil {
			t.Errorf("%s: there is no shell in the image: %v", command, err)
		}
		args = append(slices.DeleteFunc(args, func(a string) bool { return a == "/muster" }), "--help")
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Errorf("muster %s: %v\n%s", args, err, out)
		}
	}
}

// The image runs with nothing but what the Dockerfile puts there.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	root, err := os.MkdirTemp("", "muster-image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	// Without -trimpath, which would compile every package anew.
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(root, "muster"), "./cmd/muster")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := elf.Open(filepath.Join(root, "muster"))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 || slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("the binary is not static: %v %v", libraries, err)
	}
	_ = binary.Close()
	for dir, mode := range map[string]os.FileMode{"etc/muster": 0o755, "data": 0o700, "tmp": 0o777} {
		dir = filepath.Join(root, dir)
		if err := os.MkdirAll(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // others enter an image
		t.Fatal(err)
	}
	text := "[general]\nhosts = [\"localhost\"]\ndata_dir = \"/data\"\n[[listen.c2s]]\nport = 0\n[modules.mod_muc]\n"
	if err := os.WriteFile(filepath.Join(root, "etc/muster/muster.toml"), []byte(text), 0o644); err != nil { //nolint:gosec // no secret
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/muster", args...)
		cmd.Dir, cmd.Env = "/etc/muster", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return cmd
	}
	serve := command("serve", "--config", "/etc/muster/muster.toml", "--log-format", "json")
	log, err := os.Create(filepath.Join(root, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	serve.Stderr = log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	healthy := eventually(t, func() bool { return command("status").Run() == nil })
	if out, err := command("user", "add", "romeo", "secret").CombinedOutput(); !healthy || err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Errorf("healthy: %v; user add: %v\n%s%s", healthy, err, out, text)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil {
		t.Error(err)
	}
}

// The units are what systemd understands, and as tight as they claim.
func TestSystemdUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (Debian: systemd)")
	}
	dir := t.TempDir()
	for _, name := range []string{"muster.service", "muster.socket"} {
		data, err := os.ReadFile(filepath.Join("../../deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		data = []byte(strings.ReplaceAll(string(data), "/usr/local/bin/muster", program))
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, name)).CombinedOutput(); err != nil || strings.Contains(string(out), name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", filepath.Join(dir, "muster.service")).CombinedOutput()
	if err != nil { // exposure from 0 to 100
		t.Errorf("%v\n%s", err, out)
	}
}
