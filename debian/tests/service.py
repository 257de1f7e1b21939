"""The installed service: systemd's where it runs, otherwise a stand-in that does what the unit says.

The stand-in covers user, directories, umask, descriptors, NOTIFY_SOCKET and WATCHDOG_USEC, and, with
python3-seccomp, the system calls and address families.  What is mounted where is systemd's alone.
"""
import errno
import os
import pwd
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import time

try:
    import seccomp
except ImportError:
    seccomp = None

UNIT_PATH = "/lib/systemd/system/wskeep.service"
NOTIFY_PATH = "/run/wskeep-stand-in.notify"
LOG_PATH = "/run/wskeep-stand-in.log"
RELOADED = "the configuration was read again"
DEADLINE_S = 10


def read_unit(path):
    """The keys of [Service], each a list of its values."""
    keys = {}
    section = None
    with open(path, encoding="utf-8") as unit:
        for line in unit:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and line[0] not in "#;":
                key, value = line.split("=", 1)
                keys.setdefault(key, []).append(value)
    return keys


def calls_of(name):
    """The system calls of a set, `@system-service`, or the call itself."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.check_output(["systemd-analyze", "--no-pager", "syscall-filter", name])
    lines = [line.strip() for line in listed.decode().split("\n")[1:]]
    return set().union(*(calls_of(line) for line in lines if line and line[0] != "#"))


def make_filter(unit):
    """What SystemCallFilter= and RestrictAddressFamilies= leave, or None without python3-seccomp."""
    if seccomp is None:
        return None
    allowed = calls_of("@default")
    for value in unit["SystemCallFilter"]:
        calls = set().union(*map(calls_of, value.lstrip("~").split()))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    error = getattr(errno, unit["SystemCallErrorNumber"][-1])
    filter_ = seccomp.SyscallFilter(defaction=seccomp.ERRNO(error))
    for family in unit["RestrictAddressFamilies"][-1].split():
        filter_.add_rule(seccomp.ALLOW, "socket",
                         seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    for call in allowed - {"socket"}:
        try:
            filter_.add_rule(seccomp.ALLOW, call)
        except RuntimeError:  # not on this machine, or newer than libseccomp
            pass
    return filter_


class SystemdService:
    """wskeep.service, as systemd runs it."""

    def start(self):
        subprocess.run(["systemctl", "restart", "wskeep"], check=True)

    def reload(self):
        return subprocess.run(["systemctl", "reload", "wskeep"]).returncode == 0

    def stop(self):
        subprocess.run(["systemctl", "stop", "wskeep"], check=True)
        return int(self._property("ExecMainStatus"))

    def pid(self):
        return int(self._property("MainPID"))

    def _property(self, name):
        shown = subprocess.run(["systemctl", "show", "-P", name, "wskeep"], check=True,
                               stdout=subprocess.PIPE)
        return shown.stdout.decode().strip()


class StandInService:
    """The installed unit's command lines, run as its user."""

    def __init__(self):
        self._unit = read_unit(UNIT_PATH)
        self._user = pwd.getpwnam(self._one("User"))
        self._filter = make_filter(self._unit)
        self._process = None
        self._notify = None
        self._log = None
        self.states = []  # what came over NOTIFY_SOCKET

    def _one(self, key):
        return self._unit[key][-1]

    def _seconds(self, key):
        return int(re.fullmatch(r"(\d+)s", self._one(key)).group(1))

    def _make_directory(self, key, base):
        path = os.path.join(base, self._one(key + "Directory"))
        os.makedirs(path, exist_ok=True)
        os.chown(path, self._user.pw_uid, self._user.pw_gid)
        os.chmod(path, int(self._one(key + "DirectoryMode"), 8))
        return path

    def _become(self):
        """In the child, before exec."""
        limit = int(self._one("LimitNOFILE"))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        os.umask(int(self._one("UMask"), 8))
        os.chdir("/")
        os.initgroups(self._user.pw_name, self._user.pw_gid)
        os.setgid(self._user.pw_gid)
        os.setuid(self._user.pw_uid)
        if self._filter is not None:
            self._filter.load()  # and no_new_privs

    def _environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": self._user.pw_name,
                "LOGNAME": self._user.pw_name, "HOME": "/"}

    def start(self):
        environment = self._environment()
        environment["RUNTIME_DIRECTORY"] = self._make_directory("Runtime", "/run")
        environment["STATE_DIRECTORY"] = self._make_directory("State", "/var/lib")
        environment["NOTIFY_SOCKET"] = NOTIFY_PATH
        environment["WATCHDOG_USEC"] = str(self._seconds("WatchdogSec") * 1000000)
        self._unlink_files()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(NOTIFY_PATH)
        os.chmod(NOTIFY_PATH, 0o666)
        self._notify.settimeout(0.05)
        self._log = open(LOG_PATH, "w+b")
        # pylint: disable=subprocess-popen-preexec-fn
        self._process = subprocess.Popen(shlex.split(self._one("ExecStart")), env=environment,
                                         stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=self._log, preexec_fn=self._become)
        if not self._wait_until_ready():
            log = self.log()
            self._process.kill()
            self._clear()
            raise RuntimeError("wskeepd is not ready:\n" + log)

    def _wait_until_ready(self):
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            self._receive()
            if "READY=1" in self.states:
                return True
        return False

    def _receive(self):
        try:
            self.states += self._notify.recv(4096).decode().split("\n")
        except socket.timeout:
            pass

    def program(self):
        return shlex.split(self._one("ExecStart"))[0]

    def pid(self):
        return self._process.pid

    def log(self):
        with open(self._log.name, encoding="utf-8") as log:
            return log.read()

    def reload(self):
        """Every ExecReload= in turn; the first that fails is the answer."""
        reloaded_before = self.log().count(RELOADED)
        environment = dict(self._environment(), MAINPID=str(self._process.pid))
        for line in self._unit["ExecReload"]:
            done = subprocess.run(shlex.split(line), env=environment, preexec_fn=self._become)
            if done.returncode != 0:
                return False
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if self.log().count(RELOADED) > reloaded_before:
                return True
            self._receive()
        return False

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(timeout=DEADLINE_S)
        self._clear()
        return status

    @staticmethod
    def _unlink_files():
        for path in (NOTIFY_PATH, LOG_PATH):
            if os.path.lexists(path):
                os.unlink(path)

    def _clear(self):
        self._process.wait()
        self._notify.close()
        self._log.close()
        self._unlink_files()
        # As systemd removes RuntimeDirectory=.
        shutil.rmtree(os.path.join("/run", self._one("RuntimeDirectory")))


def service():
    return SystemdService() if os.path.isdir("/run/systemd/system") else StandInService()
