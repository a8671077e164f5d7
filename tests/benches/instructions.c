// A QEMU plugin (TCG plugin API, version 1) that counts the instructions a guest executes.
//
// At exit it prints one line per translated block of code: its guest address and the instructions executed in it. Their
// sum is exact and repeats; `addr2line` finds the functions they belong to. `tests/benches/instructions.sh` uses it.
// The declarations stand here because Debian's QEMU comes without its header.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
enum { INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation, void *counter, uint64_t add);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*finished)(plugin_id, void *), void *data);
void qemu_plugin_outs(const char *text);

int qemu_plugin_version = 1;

// One per translation, so a block that is translated again has several.
struct counter {
  uint64_t address, executed;
  struct counter *next;
};

static struct counter *counters;

// QEMU translates one block at a time, under a lock.
static void translated(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  struct counter *counter = calloc(1, sizeof *counter);
  if (!counter) abort();
  counter->address = qemu_plugin_tb_vaddr(block);
  counter->next = counters;
  counters = counter;
  // Counted one by one: a block that a signal leaves early has not executed all its instructions.
  for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, index);
    qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &counter->executed, 1);
  }
}

static void finished(plugin_id id, void *data) {
  (void)id, (void)data;
  char line[64];
  for (const struct counter *counter = counters; counter; counter = counter->next) {
    if (!counter->executed) continue;
    snprintf(line, sizeof line, "%" PRIx64 " %" PRIu64 "\n", counter->address, counter->executed);
    qemu_plugin_outs(line);
  }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, finished, NULL);
  return 0;
}
