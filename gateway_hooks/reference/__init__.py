"""The embedded reference gateway: a small real asyncio gateway that shares the hazards of the big one.

It long-polls a Bot API and confirms with the next poll, gathers quick texts into one turn, keeps a routing table in memory and on
disk, and answers each chat in order. It exists to hold the protocol to account without Hermes, and to show how to stand behind the
port.
"""
