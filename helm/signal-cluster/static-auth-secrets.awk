# The lines of turnserver.conf for a file of keys; on anything but whole keys an error. LC_ALL=C awk -f THIS FILE
# coturn takes a line "static-auth-secret=" for a secret too, and admits everybody who signs with the empty key.
# The rule is that of the services (docs/run/secrets.md, "Files of keys"): white space around a line is not part of it,
# lines that are blank or begin with # are no keys, every other one is printable ASCII of 32 bytes or more, unquoted.
{ gsub(/^[ \t\r]+|[ \t\r]+$/, "") }
/^#/ || $0 == "" { next }
{ keys++ }
/[^ -~]/ || /^"/ || length($0) < 32 { bad = keys; exit }
{ print "static-auth-secret=" $0 }
END { if (bad || !keys) { print (bad ? "key " bad " of the relays is not a whole one: write 32 or more printable ASCII characters, unquoted" : "the file of the relays has no key in it") ", such as from openssl rand -hex 32" | "cat >&2"; exit 1 } }
