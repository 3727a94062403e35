#include "os/memory_guard.hpp"

#include "os/error.hpp"

#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

namespace mmsb::os {
namespace {

constexpr std::uintptr_t page_bytes = 4096;

// What the handler reads: `begin` is stored last and cleared first, and looked at again: a slot
// that is given to another guard just then must not lend its end to the old beginning.
struct Slot {
    std::atomic<std::uintptr_t> begin{0}, end{0};
    std::atomic<std::atomic<bool>*> lost{nullptr};
};
std::array<Slot, 4096> slots;
std::mutex mutex;  // Of who makes and ends guards.
struct sigaction before;

bool put_zeros(std::uintptr_t at, std::uintptr_t size) noexcept {
    auto* const place = reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr)
    return ::mmap(place, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

// Nothing but mmap, which is a bare system call, and atomics: this runs in a signal handler.
bool lose(std::uintptr_t address) noexcept {
    for (auto& slot : slots) {
        const auto begin = slot.begin.load(std::memory_order_acquire);
        if (begin == 0 || address < begin) continue;
        const auto end = slot.end.load(std::memory_order_acquire);
        auto* const lost = slot.lost.load(std::memory_order_acquire);
        if (address >= end || slot.begin.load(std::memory_order_relaxed) != begin) continue;
        // The flag first: whoever sees zeros sees it, too.
        lost->store(true);
        // So much at once may be refused (where memory is not overcommitted): then page by page.
        return put_zeros(begin, end - begin) ||
               put_zeros(address / page_bytes * page_bytes, page_bytes);
    }
    return false;
}

void pass_on(int number, siginfo_t* info, void* context) noexcept {
    if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(number, info, context);
    const bool by_kernel = info->si_code > 0;
    if (before.sa_handler == SIG_IGN && !by_kernel) return;
    if (before.sa_handler != SIG_IGN && before.sa_handler != SIG_DFL)
        return before.sa_handler(number);
    // As without this handler: the same fault again, or the same signal, and the process ends.
    struct sigaction plain{};
    plain.sa_handler = SIG_DFL;
    ::sigaction(number, &plain, nullptr);
    if (!by_kernel) ::raise(number);
}

void on_bus_error(int number, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    if (info->si_code <= 0 || !lose(reinterpret_cast<std::uintptr_t>(info->si_addr)))
        pass_on(number, info, context);
    errno = error;
}

// REQUIRES the mutex.
void install() {
    static bool installed = false;
    if (installed) return;
    struct sigaction ours{};
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    // Known before ours can be called.
    if (::sigaction(SIGBUS, nullptr, &before) != 0 || ::sigaction(SIGBUS, &ours, nullptr) != 0)
        fail(errno, "sigaction", "SIGBUS");
    installed = true;
}

}  // namespace

MemoryGuard::MemoryGuard(std::span<const std::span<std::byte>> ranges, std::atomic<bool>& lost) {
    const std::lock_guard lock(mutex);
    install();
    for (std::size_t n = 0; n < slots.size() && slots_.size() < ranges.size(); ++n)
        if (slots[n].begin.load(std::memory_order_relaxed) == 0) slots_.push_back(n);
    if (slots_.size() < ranges.size()) {
        slots_.clear();
        fail(ENOMEM, "guard", "ranges of memory", ranges.size());
    }
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        auto& slot = slots[slots_[i]];
        const auto begin = reinterpret_cast<std::uintptr_t>(ranges[i].data());
        slot.lost.store(&lost, std::memory_order_release);
        slot.end.store(begin + ranges[i].size(), std::memory_order_release);
        slot.begin.store(begin, std::memory_order_release);
    }
}

MemoryGuard::~MemoryGuard() {
    const std::lock_guard lock(mutex);
    for (const auto n : slots_) slots[n].begin.store(0, std::memory_order_release);
}

}  // namespace mmsb::os
