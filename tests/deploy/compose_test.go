package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// load reads docker-compose.yml in a folder, with the environment given and the folder's
// .env, as compose does.
func load(t *testing.T, dir string, environment ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "docker-compose.yml")},
		cli.WithWorkingDirectory(dir), cli.WithEnv(environment), cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"monitoring"}))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// project returns the whole of docker-compose.yml, monitoring included.
func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, initialised(t))
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(names, []string{"alertmanager", "app", "backup", "grafana", "postgres", "prometheus", "xray"}) {
		t.Fatalf("the services are %q", names)
	}
	return p
}

func TestComposeSaysWhatToDoFirst(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	write(t, filepath.Join(dir, ".env"), "")
	if _, err := load(t, dir); err == nil || !strings.Contains(err.Error(), "type deploy/compose-init.sh first") {
		t.Errorf("it says %v", err)
	}
}

func TestMonitoringIsAChoice(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, service := range p.Services {
		want := []string(nil)
		if name == "prometheus" || name == "grafana" || name == "alertmanager" {
			want = []string{"monitoring"}
		}
		if !slices.Equal(service.Profiles, want) {
			t.Errorf("%s: profiles %q, want %q", name, service.Profiles, want)
		}
	}
}

func TestEveryServiceIsSupervised(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		if service.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s: restart %q", name, service.Restart)
		}
		check := service.HealthCheck
		if check == nil || len(check.Test) < 2 || check.Interval == nil || check.Timeout == nil || check.StartPeriod == nil {
			t.Errorf("%s: health check %+v", name, check)
		}
		if service.StopGracePeriod == nil || time.Duration(*service.StopGracePeriod) < 15*time.Second {
			t.Errorf("%s: grace %v", name, service.StopGracePeriod)
		}
		if service.MemLimit == 0 || service.PidsLimit == 0 {
			t.Errorf("%s: it may use up the server: memory %d, processes %d", name, service.MemLimit, service.PidsLimit)
		}
		if log := service.Logging; log == nil || log.Options["max-size"] == "" || log.Options["max-file"] == "" {
			t.Errorf("%s: its log may fill the disk: %+v", name, log)
		}
		for dependency, condition := range service.DependsOn {
			if condition.Condition == "" || name == "app" && dependency == "postgres" && condition.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s: waits for %s: %q", name, dependency, condition.Condition)
			}
		}
	}
}

func TestEveryServiceMayDoLittle(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		if !service.ReadOnly || service.Privileged || service.Pid != "" || service.Ipc != "" || service.NetworkMode != "" {
			t.Errorf("%s: it may write to its root, or shares the host's own", name)
		}
		if !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd) > 0 || !slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: cap_drop %q, cap_add %q, security_opt %q", name, service.CapDrop, service.CapAdd, service.SecurityOpt)
		}
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind && !volume.ReadOnly || strings.Contains(volume.Source, "docker.sock") {
				t.Errorf("%s: it may change %s", name, volume.Source)
			}
		}
	}
}

func TestEveryImageIsPinned(t *testing.T) {
	t.Parallel()
	exact := regexp.MustCompile(`^[a-z0-9/]+:v?\d+\.\d+[0-9a-z.-]*@sha256:[0-9a-f]{64}$`)
	stages, services := readDockerfile(t), project(t).Services
	if postgres, backup := services["postgres"].Image, services["backup"].Image; postgres != backup {
		t.Errorf("the backup has the image %s, its server %s", backup, postgres)
	}
	text, err := os.ReadFile(inRoot("docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`image: [&*]`).Match(text) {
		t.Error("Dependabot passes over an image that is named by an anchor")
	}
	for name, service := range services {
		if service.Build == nil {
			if !exact.MatchString(service.Image) {
				t.Errorf("%s: %q names no version with its digest", name, service.Image)
			}
			continue
		}
		if _, ok := stages[service.Build.Target]; !ok || !strings.HasSuffix(service.Image, ":local") {
			t.Errorf("%s: builds %q as %q", name, service.Build.Target, service.Image)
		}
	}
}

func TestHealthChecksAreThoseOfTheImages(t *testing.T) {
	t.Parallel()
	p, stages := project(t), readDockerfile(t)
	for name, service := range p.Services {
		if service.Build == nil {
			continue
		}
		image := imageOf(t, stages[service.Build.Target])
		if diff := cmp.Diff(image.health, []string(service.HealthCheck.Test)[1:]); diff != "" {
			t.Errorf("%s: image (-), compose (+):\n%s", name, diff)
		}
	}
}

func TestOnlyWhatMustBeIsReachedFromOutside(t *testing.T) {
	t.Parallel()
	p := project(t)
	published := make(map[string][]string)
	for name, service := range p.Services {
		for _, port := range service.Ports {
			published[name] = append(published[name], port.HostIP+":"+port.Published)
		}
	}
	want := map[string][]string{"app": {":8443", ":80"}, "xray": {":443"}, "grafana": {"127.0.0.1:3000"}}
	if diff := cmp.Diff(want, published); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for other, service := range p.Services {
		if _, shared := service.Networks["node"]; shared && other != "xray" {
			t.Errorf("%s: customers' traffic can reach it", other)
		}
	}
	if !p.Networks["database"].Internal || len(p.Services["postgres"].Networks) != 1 || len(p.Services["xray"].Networks) != 1 {
		t.Error("the database or the node shares a network that it needs not")
	}
}

func TestPortsAndListenersAgree(t *testing.T) {
	t.Parallel()
	app := project(t).Services["app"]
	inside := make(map[string]bool)
	for _, port := range app.Ports {
		inside[":"+strconv.Itoa(int(port.Target))] = true
	}
	for _, name := range []string{"LISTEN", "HTTP_LISTEN"} {
		if listener := *app.Environment[name]; !inside[listener] {
			t.Errorf("%s=%s is not published", name, listener)
		}
	}
	if listener := *app.Environment["OPERATIONS_LISTEN"]; inside[listener] {
		t.Errorf("OPERATIONS_LISTEN=%s is published", listener)
	} else if text := read(t, inRoot("deploy/monitoring/prometheus.yml")); !strings.Contains(text, `"app`+listener+`"`) {
		t.Errorf("Prometheus does not ask app%s", listener)
	}
}

func TestEnvironmentChoosesPortsAndTLS(t *testing.T) {
	t.Parallel()
	p, err := load(t, initialised(t), "SHOP_PORT=127.0.0.1:9443", "HTTP_PORT=8080", "NODE_PORT=2053", "HTTP_LISTEN=", "TLS=off", "VERSION=v1.2")
	if err != nil {
		t.Fatal(err)
	}
	app := p.Services["app"]
	if port := app.Ports[0]; port.HostIP != "127.0.0.1" || port.Published != "9443" || port.Target != 8443 {
		t.Errorf("the shop's port is %+v", port)
	}
	if *app.Environment["TLS"] != "off" || *app.Environment["HTTP_LISTEN"] != "" || *app.Build.Args["VERSION"] != "v1.2" {
		t.Errorf("the environment is not heard: %v", app.Environment)
	}
	if app.Ports[1].Published != "8080" || p.Services["xray"].Ports[0].Published != "2053" {
		t.Error("the ports are not heard")
	}
}

func TestSecretsAreFilesThatInitMakes(t *testing.T) {
	t.Parallel()
	p := project(t)
	used := make(map[string]bool)
	for name, service := range p.Services {
		given := make(map[string]bool)
		for _, secret := range service.Secrets {
			used[secret.Source], given["/run/secrets/"+secret.Source] = true, true
		}
		for variable, value := range service.Environment {
			if value != nil && strings.HasSuffix(variable, "_FILE") && !given[*value] {
				t.Errorf("%s: %s=%s is no secret of this service", name, variable, *value)
			}
		}
	}
	for name, secret := range p.Secrets {
		if dir := filepath.Dir(secret.File); filepath.Base(dir) != "secrets" || !used[name] || secret.Environment != "" || secret.Content != "" {
			t.Errorf("%s: %+v, used: %v", name, secret, used[name])
		}
		if _, err := os.Stat(secret.File); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var command []string
	command = append(command, imageOf(t, readDockerfile(t)["xray"]).command...)
	if !slices.Contains(command, "/run/secrets/"+p.Services["xray"].Secrets[0].Source) {
		t.Errorf("the node's command %q does not read its configuration", command)
	}
}

func TestNoSecretIsInTheEnvironment(t *testing.T) {
	t.Parallel()
	sensitive := regexp.MustCompile(`TOKEN|SECRET|PASSWORD|KEY|DATABASE_URL`)
	for name, service := range project(t).Services {
		for variable := range service.Environment {
			if sensitive.MatchString(variable) && !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s: %s", name, variable)
			}
		}
	}
}

// settings returns the program's settings, and whether each is a secret, from its source.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	fields := regexp.MustCompile("(?m)^\t\\w+ +(\\S+) +`env:\"([A-Z_]+)[\",]")
	for _, field := range fields.FindAllStringSubmatch(read(t, inRoot("cmd/sallyport/config.go")), -1) {
		found[field[2]] = field[1] == "secret"
	}
	if !found["BOT_TOKEN"] || found["LISTEN"] || len(found) < 30 {
		t.Fatalf("the settings are %v", found)
	}
	return found
}

func TestTheShopKnowsEverySettingItIsGiven(t *testing.T) {
	t.Parallel()
	known := settings(t)
	given := make(map[string]bool)
	dotenv := answers() // which init writes into .env; COVER_SITE is its own
	for variable := range project(t).Services["app"].Environment {
		if _, answered := dotenv[variable]; answered && variable != "PUBLIC_URL" || variable == "GOMEMLIMIT" { // Go's own
			continue
		}
		name, isFile := strings.CutSuffix(variable, "_FILE")
		isSecret, ok := known[name]
		if !ok || isSecret != isFile {
			t.Errorf("%s: known %v, a secret %v", variable, ok, isSecret)
		}
		given[name] = true
	}
	for name, isSecret := range known {
		if strings.HasSuffix(name, "_PROXY") || name == "HEARTBEAT_URL" { // most have none, and compose gives no file that is not there: they may stand in .env
			continue
		}
		if isSecret && !given[name] {
			t.Errorf("%s_FILE is not given", name)
		}
	}
}

// mounted are the repository's files that services read.
func mounted() []string {
	return []string{
		"deploy/compose-backup.sh",
		"deploy/database.sh",
		"migrations/schema.txt",
		"deploy/monitoring/prometheus.yml",
		"deploy/monitoring/alerts.yml",
		"deploy/monitoring/dashboards/sallyport.json",
		"deploy/monitoring/grafana/provisioning/datasources/prometheus.yml",
		"deploy/monitoring/grafana/provisioning/dashboards/sallyport.yml",
	}
}

func TestEveryMountedFileIsThere(t *testing.T) {
	t.Parallel()
	p := project(t)
	var folders []string
	for name, service := range p.Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			folder, err := filepath.Rel(p.WorkingDir, volume.Source)
			if err != nil {
				t.Fatal(err)
			}
			folders = append(folders, folder)
		}
	}
	for _, path := range mounted() {
		if _, err := os.Stat(inRoot(path)); err != nil {
			t.Error(err)
		}
		if !slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(path, folder+"/") }) {
			t.Errorf("%s is mounted nowhere", path)
		}
	}
}

func TestGrafanaFindsItsDashboardsAndPrometheus(t *testing.T) {
	t.Parallel()
	grafana := project(t).Services["grafana"]
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, inRoot("deploy/monitoring/grafana/provisioning/dashboards/sallyport.yml"), &provider)
	var source struct {
		Datasources []struct{ UID, URL string }
	}
	readYAML(t, inRoot("deploy/monitoring/grafana/provisioning/datasources/prometheus.yml"), &source)
	targets := make(map[string]string)
	for _, volume := range grafana.Volumes {
		targets[volume.Target] = filepath.Base(volume.Source)
	}
	if path := provider.Providers[0].Options.Path; targets[path] != "dashboards" ||
		*grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] != path+"/sallyport.json" {
		t.Errorf("dashboards are looked for in %s", path)
	}
	if s := source.Datasources[0]; s.UID != "prometheus" || s.URL != "http://prometheus:9090" {
		t.Errorf("Prometheus is looked for at %+v", s)
	}
}
