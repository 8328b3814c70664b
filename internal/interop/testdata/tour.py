#!/usr/bin/env python3
"""Two people meet, with slixmpp as their client: login by SCRAM over STARTTLS,
contacts, presence, messages, what people store with their accounts, a room. Prints a line for each step that was seen
to work, and ends with status 1 if one is missing."""
import asyncio
import sys
import time

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048.stanza import Bookmarks
from slixmpp.plugins.xep_0082 import parse

HOST, PORT, CA = "127.0.0.1", int(sys.argv[1]), sys.argv[2]
ROOM = "team@conference.localhost"


class Person(slixmpp.ClientXMPP):
    def __init__(self, name):
        super().__init__(f"{name}@localhost/tour", "secret-" + name)
        self.ca_certs = CA
        for plugin in ("xep_0012", "xep_0030", "xep_0045", "xep_0048", "xep_0049", "xep_0054", "xep_0092", "xep_0115", "xep_0191", "xep_0199",
                       "xep_0202", "xep_0203", "xep_0313"):
            self.register_plugin(plugin)
        self.auto_authorize, self.auto_subscribe = True, True
        self.heard = asyncio.Queue()
        self.started = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("failed_all_auth", lambda e: self.fail("login refused"))
        for event in ("message", "groupchat_subject", "presence_available", "presence_unavailable", "roster_update", "groupchat_presence",
                      "message_error", "blocked", "unblocked"):
            self.add_event_handler(event, self.hear(event))

    def fail(self, why):
        if not self.started.done():
            self.started.set_exception(RuntimeError(why))

    def hear(self, event):
        return lambda stanza: self.heard.put_nowait((event, stanza))

    async def start(self, _):
        await self.get_roster()
        self.send_presence(pstatus="touring")
        self.started.set_result(True)

    async def until(self, what, seen):
        """Waits for a stanza that seen accepts."""
        try:
            async with asyncio.timeout(10):
                while True:
                    event, stanza = await self.heard.get()
                    if seen(event, stanza):
                        print("ok", what, flush=True)
                        return stanza
        except TimeoutError:
            raise RuntimeError("never seen: " + what) from None


async def refused(condition, request):
    """Waits for an answer that is this error."""
    try:
        answer = await request
    except IqError as e:
        assert e.condition == condition, (condition, e.iq)
    else:
        raise RuntimeError(f"want {condition}, got {answer}")


async def storage(romeo, juliet):
    """vCards, bookmarks in private storage, and whose they are."""
    await refused("item-not-found", romeo["xep_0054"].get_vcard("romeo@localhost"))
    vcard = romeo["xep_0054"].make_vcard()
    vcard["FN"], vcard["NICKNAME"] = "Romeo Montague \N{ROSE}", "romeo"
    vcard["PHOTO"]["TYPE"], vcard["PHOTO"]["BINVAL"] = "image/png", b"\x89PNG" * 10000
    await romeo["xep_0054"].publish_vcard(vcard)
    seen = (await juliet["xep_0054"].get_vcard("romeo@localhost"))["vcard_temp"]
    assert seen["FN"] == "Romeo Montague \N{ROSE}" and seen["PHOTO"]["BINVAL"] == b"\x89PNG" * 10000, seen
    await refused("service-unavailable", romeo["xep_0054"].get_vcard("juliet@localhost"))
    vcard = juliet["xep_0054"].make_vcard()
    vcard["FN"] = "A villain"
    await refused("forbidden", juliet["xep_0054"].publish_vcard(vcard, slixmpp.JID("romeo@localhost")))
    print("ok vcards", flush=True)

    bookmarks = Bookmarks()
    bookmarks.add_conference(ROOM, "Romeo", name="The team", autojoin=True)
    await romeo["xep_0048"].set_bookmarks(bookmarks)
    kept = (await romeo["xep_0048"].get_bookmarks())["private"]["bookmarks"]["conferences"]
    assert [(str(c["jid"]), c["nick"], c["autojoin"]) for c in kept] == [(ROOM, "Romeo", True)], kept
    assert not (await juliet["xep_0048"].get_bookmarks())["private"]["bookmarks"]["conferences"]
    print("ok bookmarks in private storage", flush=True)


async def blocking(romeo, juliet):
    """juliet blocks romeo for a while (XEP-0191)."""
    info = await juliet["xep_0030"].get_info("localhost")
    assert "urn:xmpp:blocking" in info["disco_info"]["features"], info
    block, him = juliet["xep_0191"], slixmpp.JID("romeo@localhost")
    listed = await block.get_blocked()
    assert not listed["blocklist"]["items"], listed
    await block.block([him, slixmpp.JID("tybalt@localhost/sword")])
    await juliet.until("push of a block", lambda e, s: e == "blocked" and him in s["block"]["items"])
    await romeo.until("the one who has blocked him go", lambda e, s: e == "presence_unavailable" and s["from"].bare == "juliet@localhost")
    listed = await block.get_blocked()
    assert listed["blocklist"]["items"] == {him, slixmpp.JID("tybalt@localhost/sword")}, listed
    romeo.send_message("juliet@localhost", "Can you hear me now?", mtype="chat")
    await romeo.until("refusal of what is blocked", lambda e, s: e == "message_error" and s["error"]["condition"] == "service-unavailable")
    juliet.send_message("romeo@localhost", "No", mtype="chat")
    await juliet.until("refusal to the one who blocks", lambda e, s: e == "message_error" and s["error"]["condition"] == "not-acceptable"
                       and s["error"].xml.find("{urn:xmpp:blocking:errors}blocked") is not None)
    await block.unblock(him)
    await juliet.until("push of an unblock", lambda e, s: e == "unblocked" and him in s["unblock"]["items"])
    await romeo.until("her come back", lambda e, s: e == "presence_available" and s["from"].bare == "juliet@localhost")
    romeo.send_message("juliet@localhost", "And now?", mtype="chat")
    await juliet.until("message after unblocking", lambda e, s: e == "message" and s["body"] == "And now?")


async def archive(romeo):
    """What was said in the room, page by page, in both directions (XEP-0313)."""
    mam = romeo["xep_0313"]
    info = await romeo["xep_0030"].get_info(ROOM)
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended"} <= set(info["disco_info"]["features"]), info
    texts = [f"line {n}" for n in range(12)]
    for text in texts:
        romeo.send_message(ROOM, text, mtype="groupchat")
        await romeo.until(text + " reflected", lambda e, s: e == "message" and s["body"] == text)

    def body(result):
        return result["mam_result"]["forwarded"]["stanza"]["body"]

    forwards = [body(m) async for m in mam.iterate(jid=ROOM, rsm={"max": 5}) if body(m)]
    assert forwards[-12:] == texts and forwards[0] == "He jests at scars", forwards
    # slixmpp 1.8 takes the newest page for the last one there is if it learns how many messages there are.
    backwards = [body(m) async for m in mam.iterate(jid=ROOM, rsm={"max": 5}, reverse=True)]
    assert backwards == texts[:-6:-1], backwards
    page = await mam.retrieve(jid=ROOM, with_jid=slixmpp.JID("juliet@localhost"), rsm={"max": 5})
    assert page["mam_fin"].xml.get("complete") == "true" and not page["mam"]["results"], page
    meta = (await mam.get_archive_metadata(jid=ROOM))["mam_metadata"]
    assert meta["start"]["id"] < meta["end"]["id"] and meta["start"]["timestamp"] <= meta["end"]["timestamp"], meta
    fields = await mam.get_fields(jid=ROOM)
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields()), fields
    print("ok archive of the room", flush=True)


async def tour():
    romeo, juliet = Person("romeo"), Person("juliet")
    for person in (romeo, juliet):
        person.connect((HOST, PORT), force_starttls=True)
        await asyncio.wait_for(person.started, 15)
        print("ok login of", person.boundjid.bare, flush=True)

    romeo.send_presence_subscription("juliet@localhost")
    await romeo.until("contact in both directions", lambda e, s: e == "roster_update"
                      and any(str(j) == "juliet@localhost" and i["subscription"] == "both" for j, i in s["roster"]["items"].items()))
    if romeo.client_roster["juliet@localhost"].resources == {}:
        await romeo.until("presence of the contact", lambda e, s: e == "presence_available" and s["from"].bare == "juliet@localhost")

    romeo.send_message("juliet@localhost", "But soft \N{WAXING CRESCENT MOON SYMBOL}", mtype="chat")
    await juliet.until("message", lambda e, s: e == "message" and s["body"].startswith("But soft \N{WAXING CRESCENT MOON SYMBOL}"))

    info = await romeo["xep_0030"].get_info("localhost")
    assert "urn:xmpp:ping" in info["disco_info"]["features"], info
    items = await romeo["xep_0030"].get_items("localhost")
    assert any(str(i[0]) == "conference.localhost" for i in items["disco_items"]["items"]), items
    version = await romeo["xep_0092"].get_version("localhost")
    assert version["software_version"]["name"] == "Muster", version
    await romeo["xep_0199"].ping("localhost")
    clock = await romeo["xep_0202"].get_entity_time("localhost")
    utc = parse(clock["entity_time"].xml.findtext("{urn:xmpp:time}utc"))  # slixmpp's own reading of it adds a second Z
    assert abs(utc.timestamp() - time.time()) < 60, clock
    uptime = await romeo["xep_0012"].get_last_activity("localhost")
    assert 0 <= int(uptime["last_activity"]["seconds"]) < 60, uptime
    print("ok discovery, version, ping, time, uptime", flush=True)
    # The client has computed the hash of what the server says of itself, and found it to be that of the stream feature.
    ver = await romeo["xep_0115"].get_verstring("localhost")
    assert ver and await romeo["xep_0115"].get_caps(verstring=ver), ver
    print("ok capabilities", flush=True)
    await storage(romeo, juliet)
    await blocking(romeo, juliet)

    muc = romeo["xep_0045"]
    muc.join_muc(ROOM, "Romeo")
    await romeo.until("own presence in the new room", lambda e, s: e == "groupchat_presence" and 201 in s["muc"]["status_codes"])
    form = await muc.get_room_config(ROOM)
    form["type"] = "submit"
    form.set_values({"muc#roomconfig_roomname": "The team", "muc#roomconfig_persistentroom": True})
    await muc.set_room_config(ROOM, form)
    print("ok room configured", flush=True)
    juliet["xep_0045"].join_muc(ROOM, "Juliet")
    await romeo.until("somebody who enters", lambda e, s: e == "groupchat_presence" and s["from"].resource == "Juliet")
    romeo.send_message(ROOM, "He jests at scars", mtype="groupchat")
    for person in (juliet, romeo):
        await person.until("room message", lambda e, s: e == "message" and s["type"] == "groupchat" and s["body"] == "He jests at scars")
    romeo.send_message(ROOM, None, msubject="Balcony", mtype="groupchat")
    await juliet.until("subject", lambda e, s: e == "groupchat_subject" and s["subject"] == "Balcony")
    await archive(romeo)
    await muc.set_role(ROOM, "Juliet", "none", reason="the nurse calls")
    await juliet.until("kick", lambda e, s: s["type"] == "unavailable" and s["from"].bare == ROOM and 307 in s["muc"]["status_codes"])
    juliet.send_presence(ptype="unavailable", pstatus="Heading Home")
    await romeo.until("contact leaves", lambda e, s: e == "presence_unavailable" and s["from"].bare == "juliet@localhost")
    await juliet.disconnect()
    last = (await romeo["xep_0012"].get_last_activity("juliet@localhost"))["last_activity"]
    assert int(last["seconds"]) < 60, last
    print("ok last activity", flush=True)
    juliet = None
    romeo.send_message("juliet@localhost", "Are you there?", mtype="chat")
    juliet = Person("juliet")
    juliet.connect((HOST, PORT), force_starttls=True)
    late = await juliet.until("message that waited", lambda e, s: e == "message" and s["body"] == "Are you there?")
    assert late["delay"]["stamp"], late
    await juliet.disconnect()
    await romeo.disconnect()


try:
    asyncio.get_event_loop().run_until_complete(asyncio.wait_for(tour(), 60))
except Exception as e:  # pylint: disable=broad-except
    print("FAILED:", type(e).__name__, e, flush=True)
    sys.exit(1)
print("ok everything", flush=True)
