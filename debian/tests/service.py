"""The installed service: systemd's where it runs, otherwise a stand-in that does what the unit says.

The stand-in covers what wskeepd itself can notice: user, directories, umask, descriptors,
NOTIFY_SOCKET and WATCHDOG_USEC.  The sandbox is systemd's alone.
"""
import os
import pwd
import re
import resource
import shlex
import signal
import socket
import subprocess
import time

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

    def _environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": self._user.pw_name,
                "LOGNAME": self._user.pw_name, "HOME": "/"}

    def start(self):
        environment = self._environment()
        environment["RUNTIME_DIRECTORY"] = self._make_directory("Runtime", "/run")
        environment["STATE_DIRECTORY"] = self._make_directory("State", "/var/lib")
        environment["NOTIFY_SOCKET"] = NOTIFY_PATH
        environment["WATCHDOG_USEC"] = str(self._seconds("WatchdogSec") * 1000000)
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
            raise RuntimeError("wskeepd is not ready:\n" + self.log())

    def _wait_until_ready(self):
        """READY=1 where libsystemd is linked, otherwise the line in the log."""
        notifies = b"libsystemd" in subprocess.check_output(["ldd", self.program()])
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            self._receive()
            if "READY=1" in self.states:
                return True
            if not notifies and " is ready: " in self.log():
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
        self._notify.close()
        os.unlink(NOTIFY_PATH)
        self._log.close()
        os.unlink(self._log.name)
        # As systemd removes RuntimeDirectory=.
        subprocess.run(["rm", "-rf", "/run/" + self._one("RuntimeDirectory")], check=True)
        return status


def service():
    return SystemdService() if os.path.isdir("/run/systemd/system") else StandInService()
