// A bus without a path whose ring has room for its past: nothing of it is written anywhere else,
// unless folding falls behind.
#include "support/faults.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <latch>
#include <map>
#include <shared_mutex>
#include <thread>

namespace mmsb::test {
namespace {

constexpr std::uint64_t kept = 40000;

state::Attachment& attachment_of(const State& bus) {
    return detail::Bus::get(detail::Bus::handle_of(bus)).at();
}

std::uint64_t appended(const State& bus) { return attachment_of(bus).words().logged.load(); }

// Updates pages of 1000 bytes, and knows what each of them was.
class Model {
public:
    explicit Model(const State& bus) : bus_(bus) {
        for (int i = 0; i < 3; ++i) pages_.push_back(bus.create_page(1000));
    }
    void update() {
        const auto& page = pages_[next_ % pages_.size()];
        page.update(pattern(1000, next_++));
        now_[page.id()] = next_ - 1;
        past_[bus_.sequence()] = now_;
    }
    void check() const {
        EXPECT_TRUE(bus_.verify().good);
        const auto oldest = bus_.oldest();
        for (auto at = past_.lower_bound(oldest); at != past_.end(); ++at) {
            const auto view = bus_.at(at->first);
            for (const auto& [page, seed] : at->second)
                ASSERT_EQ(text_of(view.bytes(page)), text_of(pattern(1000, seed)))
                    << number(at->first);
        }
    }
    [[nodiscard]] Sequence first() const { return past_.begin()->first; }

private:
    const State& bus_;
    std::vector<Page> pages_{};
    unsigned next_ = 0;
    std::map<PageId, unsigned> now_{};
    std::map<Sequence, std::map<PageId, unsigned>> past_{};
};

TEST(PrivateRing, KeepsAllOfThePastWithoutWritingAnythingOut) {
    const auto bus = start_with({.max_tlog_size = kept});
    Model model(bus);
    while (appended(bus) < 10 * small.segment_size) model.update();
    model.check();
    EXPECT_GT(bus.oldest(), model.first());
    // Segments have their headers; those of the past before are gone.
    EXPECT_LT(attachment_of(bus).segments->file_bytes(), 3 * (log::segment_header_size + 4096));
}

// As whoever copies the base: others cannot fold meanwhile.
class Reader {
public:
    explicit Reader(std::shared_mutex& mutex)
        : thread_([this, &mutex] {
              const std::shared_lock lock(mutex);
              began_.count_down();
              end_.wait();
          }) {
        began_.wait();
    }
    ~Reader() {
        end_.count_down();
        thread_.join();
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

private:
    std::latch began_{1}, end_{1};
    std::thread thread_;
};

TEST(PrivateRing, WritesOutWhatIsOldestWhereFoldingFallsBehind) {
    const auto bus = start_with({.max_tlog_size = kept});
    auto& attachment = attachment_of(bus);
    Model model(bus);
    for (int round = 0; round < 3; ++round) {
        const auto begun = appended(bus);
        {
            const Reader reader(attachment.past.mutex);
            while (appended(bus) < begun + 5 * small.ring_size) model.update();
            model.check();  // all that was before is kept
            EXPECT_LE(attachment.words().history_lsn.load(), begun);
            EXPECT_GT(attachment.words().flushed.load(), begun);
        }
        while (appended(bus) < begun + 10 * small.ring_size) model.update();
        model.check();
        EXPECT_GT(attachment.words().history_lsn.load(), begun + 5 * small.ring_size);
    }
}

// And gives the memory back as soon as it has caught up.
TEST(PrivateRing, KeepsNothingThatWasWrittenOutAndIsFolded) {
    const auto bus = start_with({.max_tlog_size = kept});
    auto& attachment = attachment_of(bus);
    Model model(bus);
    while (appended(bus) < small.segment_size / 2) model.update();
    {
        const Reader reader(attachment.past.mutex);
        const auto begun = appended(bus);
        while (appended(bus) < begun + 4 * small.ring_size) model.update();
        EXPECT_GT(attachment.segments->file_bytes(), 2 * small.ring_size);
    }
    for (int i = 0; i != 50; ++i) model.update();
    EXPECT_LT(attachment.segments->file_bytes(), 2 * (log::segment_header_size + 4096));
    model.check();
}

// The ring has its memory: what folding gives back is enough.
TEST(PrivateRing, GoesOnWithoutMemoryOnceItCanFold) {
    const auto bus = start_with({.max_tlog_size = kept},
                                {.ring_size = small.ring_size, .segment_size = 4 * limits::mib});
    auto& attachment = attachment_of(bus);
    Model model(bus);
    while (appended(bus) < 2 * small.ring_size) model.update();
    const Faults no_memory(
        [](os::Call call, std::string_view) { return call == os::Call::allocate ? ENOMEM : 0; });
    {
        const Reader reader(attachment.past.mutex);
        const auto until_it_fails = [&] {
            for (int i = 0; i != 200; ++i) model.update();
        };
        EXPECT_THROW(until_it_fails(), OutOfSpace);
    }
    for (int i = 0; i != 200; ++i) model.update();
    model.check();
}

TEST(PrivateRing, TakesMemoryForLogThatIsThereOnly) {
    const auto bus = start({});
    const auto page = bus.create_page(1000);
    for (unsigned i = 0; i < 100; ++i) page.update(pattern(1000, i));
    const auto& arena = *attachment_of(bus).arena;
    EXPECT_GE(arena.ring_size(), limits::private_history);
    EXPECT_LT(arena.file().allocated(), 3 * limits::mib);
}

TEST(PrivateRing, BeginsAnywhere) {
    TempFolder folder;
    const auto file = folder.path() + ".checkpoint";
    Bytes before;
    {
        const auto bus = start_with({.max_tlog_size = kept});
        const auto page = bus.create_page(1000, {.name = "p"});
        for (unsigned i = 0; i < 77; ++i) page.update(pattern(1000, i));
        bus.checkpoint(file);
    }
    const auto bus = start_with({.max_tlog_size = kept, .from_checkpoint = file});
    EXPECT_EQ(bus.page("p").read(), pattern(1000, 76));
    Model model(bus);
    while (appended(bus) < 10 * small.segment_size) model.update();
    model.check();
    fs::remove(file);
}

TEST(PrivateRing, ALargerPastThanARingHasRoomForIsInMemoryAllTheSame) {
    const auto bus = start({.max_tlog_size = limits::gib});
    EXPECT_FALSE(attachment_of(bus).past.in_ring);
    const auto page = bus.create_page(1000);
    for (unsigned i = 0; i < 1000; ++i) page.update(pattern(1000, i));
    EXPECT_EQ(text_of(bus.at(Sequence{500}).bytes(page.id())), text_of(pattern(1000, 498)));
    EXPECT_TRUE(bus.verify().good);
}

TEST(PrivateRing, WithoutALogItStaysSmall) {
    const auto bus = start({.enable_logging = false});
    const auto page = bus.create_page(1000);
    for (unsigned i = 1; i <= 1'000'000; ++i) page.write(i % 992, std::as_bytes(std::span(&i, 1)));
    const auto& attachment = attachment_of(bus);
    EXPECT_GT(appended(bus), attachment.arena->ring_size());
    EXPECT_LT(attachment.arena->file().allocated(),
              attachment.arena->ring_size() + 2 * limits::mib);
    EXPECT_LT(attachment.segments->file_bytes(), 100'000U);
    EXPECT_EQ(bus.sequence(), Sequence{1'000'001});
}

TEST(PrivateRing, WithoutALogItKnowsForAWhileWhereAPageWasDeleted) {
    const auto bus = start({.enable_logging = false});
    const auto page = bus.create_page(8);
    for (unsigned round = 0; round != 30; ++round) {
        const auto gone = bus.create_page(8);
        bus.delete_page(gone);
        const auto deleted = bus.sequence();
        for (unsigned i = 0; i != 20'000; ++i) page.write(0, std::as_bytes(std::span(&i, 1)));
        const auto e = raises<PageNotFound>(bus, [&] { static_cast<void>(gone.read()); });
        ASSERT_TRUE(e);
        EXPECT_EQ(e->deleted_at(), deleted);
    }
}

}  // namespace
}  // namespace mmsb::test
