"""Who ShadowTwin's visitors are and what they do.

With plain Locust, in its closed model (each visitor waits for an answer and then a while):

    CUTOVER_LOAD_LOGIN=me@example.com:… locust -f locustfiles/shadowtwin.py --host http://127.0.0.1:5000 -u 20

With open arrivals, which come whether or not the platform answers (what `cutover` runs):

    CUTOVER_LOAD_ARRIVALS_PER_S=50 CUTOVER_LOAD_DURATION_S=60 CUTOVER_LOAD_FOLDER=/tmp/load \\
        locust -f locustfiles/shadowtwin.py --host http://127.0.0.1:5000 --headless OpenArrivals

Without a login only anonymous visitors come; without `CUTOVER_LOAD_ADMIN_LOGIN` no administrator does.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from locust import between, task

from cutover.load import inside_locust
from cutover.load.inside_locust import PROCESS, RecordedUser

LOGIN, ADMIN_LOGIN = PROCESS.settings.login, PROCESS.settings.admin_login


class Visitor(RecordedUser):
    """What all visitors share: they read for a while between two requests (closed model only)."""

    abstract = True
    wait_time = between(1, 5)


class SignedIn(Visitor):
    """A visitor with a session. All of one kind share it: the load is on the pages, not on the password hash."""

    abstract = True
    login: ClassVar[str] = ""
    session: ClassVar[dict[str, str]] = {}

    def on_start(self) -> None:
        """Sign in once before the pages."""
        if not self.session:
            self.sign_in()

    def sign_in(self) -> None:
        """POST /api/auth/login: email and password for a token."""
        email, _, password = self.login.partition(":")
        response = self.call(
            "POST",
            "/api/auth/login",
            json={"email": email, "password": password},
            check=lambda r: isinstance(r.json()["token"], str),
        )
        token = _json(response).get("token")
        if token:
            self.session["Authorization"] = f"Bearer {token}"

    def visit(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """One request of the session; whoever has none signs in instead. Returns the JSON object, empty for none."""
        if not self.session:
            self.sign_in()
            return {}
        response = self.call(method, path, headers=dict(self.session), **kwargs)
        if response is not None and response.status_code == 401:
            self.session.clear()
        return _json(response)


class Anonymous(Visitor):
    """Looks at the front page and leaves."""

    weight = 50

    @task(9)
    def front_page(self) -> None:
        """GET /."""
        self.call("GET", "/", check=lambda r: r.content)

    @task(1)
    def health(self) -> None:
        """GET /api/health, as an uptime monitor does."""
        self.call("GET", "/api/health", check=lambda r: r.json()["status"] == "healthy")


class Owner(SignedIn):
    """A visitor who has twins."""

    abstract = True
    login = LOGIN
    session: ClassVar[dict[str, str]] = {}
    twins: ClassVar[deque[str]] = deque(maxlen=50)

    def look_at_twins(self) -> None:
        """GET /api/twins, and remember a few."""
        found = self.visit("GET", "/api/twins", check=lambda r: isinstance(r.json()["twins"], list))
        self.twins.extend(str(twin["id"]) for twin in found.get("twins", ())[:5])


class Returning(Owner):
    """Comes back to the twins and their conversations; now and then makes a new twin."""

    weight = 30
    abstract = not LOGIN

    @task(10)
    def list_twins(self) -> None:
        """GET /api/twins."""
        self.look_at_twins()

    @task(6)
    def conversations(self) -> None:
        """GET /api/twins/ID/conversations."""
        if not self.twins:
            return self.look_at_twins()
        name = "GET /api/twins/ID/conversations"
        self.visit("GET", f"/api/twins/{self.twins[-1]}/conversations", name=name)
        return None

    @task(1)
    def create_twin(self) -> None:
        """POST /api/twins."""
        self.visit("POST", "/api/twins", json={"name": "Load test twin"}, expect=(201,))

    @task(1)
    def sign_in_again(self) -> None:
        """POST /api/auth/login."""
        self.sign_in()


class HeavyReporter(Owner):
    """Orders reports, asks whether they are done and fetches the PDF."""

    weight = 12
    abstract = not LOGIN
    ordered: ClassVar[deque[str]] = deque(maxlen=50)
    finished: ClassVar[deque[str]] = deque(maxlen=50)

    @task(1)
    def order(self) -> None:
        """POST /api/reports."""
        if not self.twins:
            return self.look_at_twins()
        made = self.visit("POST", "/api/reports", json={"twin_id": self.twins[-1]}, expect=(202,))
        if "id" in made:
            self.ordered.append(str(made["id"]))
        return None

    @task(5)
    def is_it_done(self) -> None:
        """GET /api/reports/ID."""
        if not self.ordered:
            return self.order()
        report = self.ordered[0]
        if self.visit("GET", f"/api/reports/{report}", name="GET /api/reports/ID").get("status") == "done":
            self.finished.append(report)
            if report in self.ordered:
                self.ordered.remove(report)
        return None

    @task(4)
    def fetch(self) -> None:
        """GET /api/reports/ID/pdf."""
        if not self.finished:
            return self.is_it_done()
        path = f"/api/reports/{self.finished[-1]}/pdf"
        self.visit("GET", path, name="GET /api/reports/ID/pdf", check=lambda r: r.content.startswith(b"%PDF"))
        return None


class Admin(SignedIn):
    """Watches the numbers."""

    weight = 3
    abstract = not ADMIN_LOGIN
    login = ADMIN_LOGIN
    session: ClassVar[dict[str, str]] = {}

    @task
    def stats(self) -> None:
        """GET /api/admin/stats."""
        self.visit("GET", "/api/admin/stats")


class OpenArrivals(inside_locust.OpenArrivals):
    """The same visitors, coming when they are due."""

    abstract = PROCESS.settings.arrivals_per_s <= 0
    visitors = tuple(kind for kind in (Anonymous, Returning, HeavyReporter, Admin) if not kind.abstract)


def _json(response: Any) -> dict[str, Any]:
    try:
        found = response.json()
    except (AttributeError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
