"""Makes trouble for a PostgreSQL server that others use: restarts, crashes, and connections that end."""

import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

SERVICES = pathlib.Path(__file__).resolve().parent.parent / "Services" / "services"


class Proxy:
    """Passes connections on to a server, until they are cut in the middle of what they carry."""

    def __init__(self, host, port):
        self.server = (host, port)
        self.lock = threading.Lock()
        self.pairs = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.server)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(source, target, pair), daemon=True).start()

    def pump(self, source, target, pair):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self.end(pair)

    def end(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for side in pair:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()

    def cut(self):
        """Ends all connections at once, whatever is on its way."""
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.end(pair)

    def close(self):
        self.listener.close()
        self.cut()


class Trouble:
    """Makes one kind of trouble after the other, each as often as the others."""

    def __init__(self, psql, address, proxy, chance, wanted):
        self.psql, self.address, self.proxy, self.random, self.wanted = psql, address, proxy, chance, wanted
        self.made = {"connections cut": 0, "backends terminated": 0, "server restarted": 0, "server crashed": 0}

    def make(self):
        least = min(self.made.values())
        kind = self.random.choice([kind for kind, count in self.made.items() if count == least])
        if kind == "connections cut":
            self.proxy.cut()
        elif kind == "backends terminated":
            self.psql(
                self.address,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname LIKE 'crashes_%'",
            )
        else:
            self.restart(signal.SIGINT if kind == "server restarted" else signal.SIGQUIT)
        self.made[kind] += 1

    def restart(self, how):
        """Stops the server of Tests/Services, in order or at once as a crash would, and starts it again."""
        folder = pathlib.Path(os.environ.get("DOVETAIL_SERVICES_DIR", os.path.join(os.environ.get("TMPDIR", "/tmp"), "dovetail-services")))
        pid = int((folder / "postgresql" / "pid").read_text().split()[0])
        os.kill(pid, how)
        end = time.monotonic() + 60
        while is_alive(pid):
            if time.monotonic() > end:
                raise TimeoutError("the server did not end")
            time.sleep(0.05)
        time.sleep(self.random.random())
        subprocess.run([SERVICES, "start", "postgresql"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def count(self):
        return sum(self.made.values())

    def is_done(self):
        return self.count() >= self.wanted

    def report(self):
        return "\n".join(f"  {kind}: {count} times" for kind, count in self.made.items())


def is_alive(pid):
    """Whether a process runs; one that nobody reaps has ended too."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
