// A commit is single-stepped (ptrace) from the taking of the writers' lock on, until it returns.
// (What is in front of the lock changes nothing that others see.) Behind each instruction it is
// looked what a kill there would leave: the shared memory, the kernel's list of the robust locks
// that are held, the files, which only a system call changes. Where an instruction has changed any
// of that, a commit is killed behind it, played anew each time: behind some of them, by hand behind
// all. (Behind the others a kill leaves what it leaves behind the one before.) Another process
// opens the bus then and finds all of the commit or nothing of it. The library is the one that is
// installed: no named steps are compiled in.
#include "crash/scenes.hpp"
#include "crash/seed.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

namespace mmsb::test {
namespace {

constexpr int not_allowed = 77;

// A string instruction with a repeat prefix traps once a byte: libc shall not use them. And names
// are to be bound before the commit, not in it. Both can only be told to a new process.
const bool has_no_repeats = [] {
    constexpr auto* variable = "GLIBC_TUNABLES";
    if (std::getenv(variable) != nullptr) return true;
    ::setenv("LD_BIND_NOW", "1", 1);
    ::setenv(variable,
             "glibc.cpu.x86_rep_stosb_threshold=1000000000:"
             "glibc.cpu.x86_rep_movsb_threshold=1000000000",
             1);
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv("/proc/self/exe", arguments.data());
    return false;  // then it takes longer
}();

// From here on this process and its children share one core: a step is a switch from one to the
// other, and waking another core costs more than ten of those.
void stay_on_one_core() {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &set);
    ::sched_setaffinity(0, sizeof set, &set);
}

#ifdef __x86_64__
// The first instruction of os::RobustLock::lock.
long lock_entry() {
    const auto member = &os::RobustLock::lock;
    long address = 0;
    std::memcpy(&address, &member, sizeof address);
    return address;
}
// The traced process, whose other threads sleep, runs up to there.
bool run_to_lock(pid_t process) {
    const auto at = lock_entry();
    const auto text = ::ptrace(PTRACE_PEEKTEXT, process, at, nullptr);
    constexpr long breakpoint = 0xcc, byte = 0xff;
    int status = 0;
    user_regs_struct registers{};
    if (::ptrace(PTRACE_POKETEXT, process, at, (text & ~byte) | breakpoint) != 0 ||
        ::ptrace(PTRACE_CONT, process, nullptr, nullptr) != 0 ||
        ::waitpid(process, &status, 0) != process || !WIFSTOPPED(status) ||
        WSTOPSIG(status) != SIGTRAP || ::ptrace(PTRACE_POKETEXT, process, at, text) != 0 ||
        ::ptrace(PTRACE_GETREGS, process, nullptr, &registers) != 0)
        return false;
    registers.rip = static_cast<unsigned long long>(at);
    return ::ptrace(PTRACE_SETREGS, process, nullptr, &registers) == 0;
}
#else
bool run_to_lock(pid_t /*process*/) { return true; }  // then the steps begin where it stands
#endif

/// What others see of a bus: its shared memory, as far as a commit may reach.
class SharedMemory {
public:
    explicit SharedMemory(const fs::path& arena) {
        const int fd = ::open(arena.c_str(), O_RDONLY | O_CLOEXEC);
        constexpr auto room = std::size_t{1} << 40U;  // it may grow
        auto* const all = ::mmap(nullptr, room, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (fd < 0 || all == MAP_FAILED) std::abort();
        ::close(fd);
        at_ = static_cast<const std::byte*>(all);
        const auto& words = *reinterpret_cast<const arena::Control*>(at_);
        parts_.push_back({0, arena::files_lock_at + 4096});
        parts_.push_back({arena::ring_at, small.ring_size});
        for (const auto& [from, backed] : {std::pair{arena::used_at, words.used_backed.load()},
                                           std::pair{arena::table_at, words.table_backed.load()},
                                           std::pair{arena::heap_at, words.heap_backed.load()}})
            parts_.push_back({from, used(from, backed)});
    }
    ~SharedMemory() { ::munmap(const_cast<std::byte*>(at_), std::size_t{1} << 40U); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    /// Is it other than when this was asked before?
    [[nodiscard]] bool has_changed() {
        bool changed = false;
        for (auto& [from, size, known] : parts_) {
            if (known.size() == size && std::memcmp(known.data(), at_ + from, size) == 0) continue;
            known.assign(at_ + from, at_ + from + size);
            changed = true;
        }
        return changed;
    }

private:
    // Of a backed part, which is mostly zeros, what is used, and what a commit may take of it.
    [[nodiscard]] std::uint64_t used(std::uint64_t from, std::uint64_t backed) const {
        auto end = backed;
        while (end > 0 && at_[from + end - 1] == std::byte{0}) --end;
        constexpr std::uint64_t taken_by_a_commit = 40'000;
        return std::min(backed, end + taken_by_a_commit);
    }

    struct Part {
        std::uint64_t from, size;
        std::vector<std::byte> known{};
    };
    const std::byte* at_ = nullptr;
    std::vector<Part> parts_{};
};

struct Steps {
    std::uint64_t instructions = 0;
    std::uint64_t changes = 0;  ///< Instructions that changed what others see.
};

/// A process on the restored bus, stopped in its commit, which goes on instruction by instruction.
class Stepped {
public:
    Stepped(const Stage& stage, const Scene& scene)
        : child_((stage.restore(), [&] {
              const auto bus = stage.place().open();
              const auto page = bus.page(PageId{3});
              page.update(page.read());  // commits nothing, and has done everything once
              let_threads_settle();
              if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return not_allowed;
              ::raise(SIGSTOP);
              scene.commit(bus);
              ::raise(SIGSTOP);
              std::_Exit(0);
              return 0;
          })) {
        is_traced_ = child_.wait_until_stopped() && run_to_lock(child_.pid());
        memory_.emplace(stage.place().arena());
    }
    [[nodiscard]] bool is_traced() const noexcept { return is_traced_; }
    /// Until it is behind its n-th change of what others see. Fewer: the commit has returned.
    [[nodiscard]] Steps step(std::uint64_t changes) {
        Steps done;
        static_cast<void>(memory_->has_changed());
        auto list = robust_list();
        for (bool calls = is_at_system_call(); done.changes < changes && step_once();) {
            ++done.instructions;
            auto now = robust_list();
            if (memory_->has_changed() || now != list || calls) ++done.changes;
            list = std::move(now);
            calls = is_at_system_call();
        }
        return done;
    }
    int kill() {
        child_.signal(SIGKILL);
        return child_.wait();
    }

private:
    // False: it has returned.
    [[nodiscard]] bool step_once() {
        if (::ptrace(PTRACE_SINGLESTEP, child_.pid(), nullptr, deliver_) != 0) return false;
        int status = 0;
        if (::waitpid(child_.pid(), &status, 0) < 0 || !WIFSTOPPED(status)) return false;
        if (WSTOPSIG(status) == SIGSTOP) return false;
        deliver_ = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        return true;
    }
    /// Does it stand in front of a system call?
    [[nodiscard]] bool is_at_system_call() const {
#ifdef __x86_64__
        user_regs_struct registers{};
        ::ptrace(PTRACE_GETREGS, child_.pid(), nullptr, &registers);
        constexpr long mask = 0xffff, syscall = 0x050f;
        return (peek(registers.rip) & mask) == syscall;
#else
        return false;
#endif
    }
    /// The list of held locks that the kernel walks when it dies, and the one that is being taken.
    [[nodiscard]] std::vector<long> robust_list() const {
        void* head = nullptr;
        std::size_t size = 0;
        if (::syscall(SYS_get_robust_list, child_.pid(), &head, &size) != 0) std::abort();
        const auto at = reinterpret_cast<unsigned long>(head);
        constexpr unsigned long pending = offsetof(robust_list_head, list_op_pending);
        std::vector<long> words{peek(at + pending)};
        constexpr std::size_t most = 4;
        for (auto next = peek(at); words.size() < most;
             next = peek(static_cast<unsigned long>(next))) {
            words.push_back(next);
            if (static_cast<unsigned long>(next) == at) break;
        }
        return words;
    }
    [[nodiscard]] long peek(unsigned long address) const {
        return ::ptrace(PTRACE_PEEKDATA, child_.pid(), address, nullptr);
    }

    Child child_;
    std::optional<SharedMemory> memory_{};
    bool is_traced_ = false;
    int deliver_ = 0;  // A signal that stopped it.
};

/// Of what is looked at here.
struct Tally {
    int before = 0, after = 0;
    std::uint64_t last_before = 0, first_after = ~std::uint64_t{0};
};

class EachInstruction : public testing::TestWithParam<Scene> {
protected:
    void kill_behind(const Stage& stage, std::uint64_t n, Tally& tally) {
        Stepped process(stage, GetParam());
        ASSERT_TRUE(process.is_traced());
        const bool returned = process.step(n).changes < n;
        ASSERT_EQ(process.kill(), -SIGKILL);
        const auto bus = stage.place().open();
        const auto found = contents_of(bus);
        if (found == stage.before()) {
            ASSERT_FALSE(returned) << "a commit that was acknowledged is missing";
            ++tally.before;
            tally.last_before = std::max(tally.last_before, n);
        } else {
            ASSERT_EQ(found, stage.after());
            ++tally.after;
            tally.first_after = std::min(tally.first_after, n);
        }
        ASSERT_TRUE(bus.verify().good);
        // And it goes on.
        const auto page = bus.page(PageId{1});
        page.update(pattern(page.size(), 4711));
        ASSERT_TRUE(bus.verify().good);
    }
};

TEST_P(EachInstruction, OfACommitMayBeTheLastOne) {
    const auto& stage = stage_of(GetParam());
    stay_on_one_core();
    Steps whole;
    {
        Stepped process(stage, GetParam());
        if (!process.is_traced()) GTEST_SKIP() << "ptrace is not allowed here";
        whole = process.step(~std::uint64_t{0});
    }
    ASSERT_GT(whole.instructions, 100U);
    ASSERT_GT(whole.changes, 30U);
    Tally tally;
    std::mt19937_64 random(seed());
    // All, or one in each part of them. Each time the changes are a few more or less.
    const auto parts = is_long() ? whole.changes + 10 : 4;
    for (std::uint64_t part = 0; part < parts && !HasFailure(); ++part) {
        const auto nth =
            is_long() ? part : (whole.changes * part + random() % whole.changes) / parts;
        SCOPED_TRACE("killed behind change " + std::to_string(nth));
        kill_behind(stage, nth, tally);
    }
    EXPECT_GT(tally.before, 0);
    EXPECT_TRUE(tally.after > 0 || !is_long());
    std::printf(
        "%llu instructions, %llu of which change what others see; killed behind %d: %d before (up "
        "to %llu), %d after (from %llu)\n",
        static_cast<unsigned long long>(whole.instructions),
        static_cast<unsigned long long>(whole.changes), tally.before + tally.after, tally.before,
        static_cast<unsigned long long>(tally.last_before), tally.after,
        static_cast<unsigned long long>(tally.first_after));
}

std::vector<Scene> stepped_scenes() {
    auto some = scenes();
    std::erase_if(some, [](const Scene& scene) {
        const std::string_view name = scene.name;
        if (name == "two pages" || name == "create") return false;
        return !is_long() ||
               (name != "one page" && name != "delete" && name != "grow" && name != "rename");
    });
    return some;
}
INSTANTIATE_TEST_SUITE_P(Of, EachInstruction, testing::ValuesIn(stepped_scenes()), name_of_scene);

}  // namespace
}  // namespace mmsb::test
