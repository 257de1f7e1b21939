/* Links to read handshakes for, configured as a user does it. */
#ifndef WSKEEP_FUZZ_LINKS_H
#define WSKEEP_FUZZ_LINKS_H

#include "fuzz.h"

#include "config/config.h"

enum { FUZZ_LINK_COUNT = 5 };

static const char fuzz_links_text[] =
    "links:\n"
    "- name: plain\n"
    "  listen: ws://127.0.0.1:9001\n"
    "  upstream: {url: 'ws://game.example.com/ws'}\n"
    "- name: strict\n"
    "  listen: ws://game.local:9001\n"
    "  client: {allow_origins: ['https://app.example.com'], allow_hosts: [relay.example.com]}\n"
    "  upstream:\n"
    "    url: ['wss://game.example.com:4430/base/?k=v', 'ws://[::1]/']\n"
    "    path: append\n"
    "    forward_headers: [Authorization, Cookie, X-Trace]\n"
    "    headers: {X-From: wskeep, Authorization: 'Bearer ours'}\n"
    "    subprotocols: [chat, json]\n"
    "- name: fixed\n"
    "  listen: ws+unix:/nowhere/fuzz.sock\n"
    "  client:\n"
    "    allow_origins: ['https://app.example.com', 'http://localhost:3000']\n"
    "    allow_users: [1234]\n"
    "  upstream:\n"
    "    url: ws://game.example.com/ws\n"
    "    forward_headers: [X-A, x-b]\n"
    "    subprotocols: [chat]\n"
    "    cookies: off\n"
    "- name: open\n"
    "  listen: ws://[::1]:9001\n"
    "  client: {allow_hosts: ['[::2]', 'b.example.com']}\n"
    "  upstream: {url: 'ws://game.example.com/', path: append, forward_headers: [Cookie]}\n"
    "- name: guarded\n"
    "  listen: ws://127.0.0.2:9001\n"
    "  client: {token: 'open+sesame/1='}\n"
    "  upstream:\n"
    "    url: ws://game.example.com/\n"
    "    path: append\n"
    "    forward_headers: [Authorization, X-A]\n";

/* Read once, and kept as long as the process. */
static inline struct link_config *fuzz_link(unsigned index)
{
    static struct config *config;
    struct config_errors errors = {0};
    if (!config)
        config =
            config_read_text("fuzz.yaml", fuzz_links_text, sizeof(fuzz_links_text) - 1, &errors);
    expect(config && config->link_count == FUZZ_LINK_COUNT);
    return config->links[index % FUZZ_LINK_COUNT];
}

#endif
