#!/usr/bin/env python3
"""Somebody makes an account with slixmpp, changes its password and removes it (XEP-0077). Prints a line for each step
that was seen to work, and ends with status 1 if one is missing."""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError

HOST, PORT, CA = "127.0.0.1", int(sys.argv[1]), sys.argv[2]


class Person(slixmpp.ClientXMPP):
    def __init__(self, password, register=False):
        super().__init__("newcomer@localhost/tour", password)
        self.ca_certs = CA
        for plugin in ("xep_0004", "xep_0030", "xep_0066", "xep_0077"):
            self.register_plugin(plugin)
        self["xep_0077"].create_account = register
        self._always_send_everything = register  # slixmpp 1.8 keeps its own request back otherwise
        loop = asyncio.get_event_loop()
        self.started, self.made, self.ended = loop.create_future(), loop.create_future(), loop.create_future()
        self.add_event_handler("session_start", lambda e: self.settle(self.started, True))
        self.add_event_handler("failed_all_auth", lambda e: self.settle(self.started, False))
        self.add_event_handler("register", self.register)
        self.add_event_handler("stream_error", lambda e: self.settle(self.ended, e["condition"]))

    def settle(self, future, value):
        if not future.done():
            future.set_result(value)

    async def register(self, form):
        q = form["register"]
        wanted = sorted(q["fields"])
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"], iq["register"]["password"] = self.boundjid.user, self.password
        try:
            await iq.send()
            self.settle(self.made, wanted)
        except IqError as e:
            self.settle(self.made, e.condition)
            self.disconnect()


async def within(future, what, want):
    got = await asyncio.wait_for(future, 20)
    if got != want:
        raise RuntimeError(f"{what}: got {got}, want {want}")
    print("ok", what, flush=True)


async def main():
    p = Person("first", register=True)
    p.connect((HOST, PORT), force_starttls=True)
    await within(p.made, "account made", ["password", "username"])
    await within(p.started, "login", True)
    info = await p["xep_0077"].get_registration("localhost")
    if not info["register"]["registered"] or info["register"]["username"] != "newcomer":
        raise RuntimeError(f"not registered: {info}")
    await p["xep_0077"].change_password("second", jid="localhost", ifrom=p.boundjid)
    print("ok password changed", flush=True)

    other = Person("other", register=True)
    other.connect((HOST, PORT), force_starttls=True)
    await within(other.made, "name taken", "conflict")

    wrong = Person("first")
    wrong.connect((HOST, PORT), force_starttls=True)
    await within(wrong.started, "old password refused", False)
    wrong.disconnect()

    await p["xep_0077"].cancel_registration(jid="localhost")
    print("ok account removed", flush=True)
    await within(p.ended, "session ended", "not-authorized")


try:
    asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 90))
except Exception as e:  # whatever is missing
    print("failed:", repr(e), flush=True)
    sys.exit(1)
