# Builds the plugin with a compiler and pkg-config alone. With autotools: see autotools/.
PKG_CONFIG ?= pkg-config
COMMY ?= commy
CFLAGS ?= -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
plugin = libcommy-@FILE_KIND@-@ID@.so
source = commy-@FILE_KIND@-@ID@.c

all: $(plugin)

$(plugin): $(source)
	$(CC) -std=gnu11 -fPIC -fvisibility=hidden -D_GNU_SOURCE $(CPPFLAGS) $(CFLAGS) \
		`$(PKG_CONFIG) --cflags commy-plugin-1` -shared -Wl,-z,now -Wl,-z,defs $(LDFLAGS) \
		-o $@ $(source) `$(PKG_CONFIG) --libs commy-plugin-1`

# Every rule of its kind, in confined processes.
check: $(plugin)
	$(COMMY) plugin verify ./$(plugin)

install: $(plugin)
	plugindir=`$(PKG_CONFIG) --variable=plugindir commy-plugin-1` && \
		install -D -m 644 $(plugin) "$(DESTDIR)$$plugindir/$(plugin)"

clean:
	rm -f $(plugin)

.PHONY: all check install clean
