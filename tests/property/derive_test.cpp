// Random graphs, random commits, against the plain model: a derived page that is not stale has just
// the bytes that its formula gives for its parents' bytes, and none of these is stale. Each
// function runs once a commit at most, and only where a parent changed. Log, checkpoints, views,
// a process that opens the bus and a rebuilt arena all say the same.
#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>

namespace mmsb::test {
namespace {

constexpr std::size_t page_size = 24;

void mix(std::span<const Bytes> parents, std::span<std::byte> out) {
    for (std::size_t i = 0; i != out.size(); ++i) {
        unsigned sum = 7;
        for (const auto& parent : parents) sum = sum * 31 + std::to_integer<unsigned>(parent[i]);
        out[i] = static_cast<std::byte>(sum);
    }
}
// Many parents give the same.
void coarse(std::span<const Bytes> parents, std::span<std::byte> out) {
    for (std::size_t i = 0; i != out.size(); ++i) out[i] = parents[0][i] & std::byte{0xc0};
}

class RandomGraph {
public:
    /// `heavy`: functions take so long that several threads run them.
    RandomGraph(std::uint64_t seed, bool heavy) : random_(seed), heavy_(heavy) { open(); }

    void step() {
        before_ = contents_of(*bus_);
        calls_.clear();
        asked_.clear();
        const auto kind = random_() % 16;
        if (pages_.size() < 4 || (kind == 0 && pages_.size() < 24))
            create();
        else if (kind <= 6)
            update(kind <= 4 ? Propagation::immediate : Propagation::deferred);
        else if (kind <= 9)
            derive();
        else if (kind == 10)
            bus_->graph().underive(any());
        else if (kind == 11)
            edge();
        else if (kind == 12)
            propagate();
        else if (kind == 13 && pages_.size() > 8)
            remove();
        else if (kind == 14)
            reopen();
        else
            many();
        check();
    }

    void finish() {
        before_ = contents_of(*bus_);
        calls_.clear();
        propagate();
        check();
        const auto now = contents_of(*bus_);
        for (const auto& [id, page] : now.pages) {
            // What nothing computes stays stale until it is written.
            if (page.derived && !has_stale_root(PageId{id}, now)) {
                EXPECT_FALSE(page.stale) << id;
            }
        }
        EXPECT_TRUE(bus_->verify().good);
    }

private:
    void open() {
        bus_.emplace(start_with(at(folder_)));
        add("test.mix/1", mix);
        add("test.coarse/1", coarse);
    }
    template <class F>
    void add(const char* name, F function) {
        bus_->register_recompute(name, [this, function](Recompute& r) {
            {
                const std::lock_guard lock(mutex_);
                ++calls_[r.page()];
            }
            if (heavy_) take_long();
            std::vector<Bytes> parents;
            for (std::size_t i = 0; i != r.parents(); ++i)
                parents.emplace_back(r.parent(i).begin(), r.parent(i).end());
            check_changed(r, parents);
            function(parents, r.out());
        });
    }
    static void take_long() {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(60);
        while (std::chrono::steady_clock::now() < end) {
        }
    }
    // What is not named as changed is as it was when the page was computed.
    void check_changed(const Recompute& r, std::span<const Bytes> parents) {
        if (!checks_extents_ || asked_.contains(r.page())) return;
        const auto ids = formula_parents(r.page());
        if (before_.pages.at(number(r.page())).stale) return;
        for (std::size_t i = 0; i != ids.size() && i != parents.size(); ++i) {
            auto was = before_.pages.at(number(ids[i])).bytes;
            for (const auto& [offset, size] : r.changed(i))
                std::ranges::copy(std::span(parents[i]).subspan(offset, size),
                                  was.begin() + static_cast<std::ptrdiff_t>(offset));
            EXPECT_EQ(was, parents[i]);
        }
    }

    Page any() { return pages_[random_() % pages_.size()]; }
    Bytes some_bytes() {
        Bytes bytes(page_size);
        for (auto& b : bytes) b = static_cast<std::byte>(random_());
        return bytes;
    }
    std::vector<Page> plain() {
        std::vector<Page> all;
        for (const auto& page : pages_)
            if (!page.info().derived) all.push_back(page);
        return all;
    }

    void create() { pages_.push_back(bus_->create_page(page_size)); }
    void update(Propagation propagation) {
        const auto all = plain();
        if (all.empty()) return;
        checks_extents_ = true;
        bus_->transact(
            [&](Transaction& tx) {
                for (auto n = 1 + random_() % 3; n != 0; --n) {
                    const auto page = all[random_() % all.size()];
                    if (random_() % 2 == 0)
                        tx.update(page, some_bytes());
                    else
                        tx.write(page, random_() % page_size,
                                 filled(1, static_cast<int>(random_() % 256)));
                }
            },
            {.propagation = propagation});
        checks_extents_ = false;
    }
    void derive() {
        const auto child = any();
        std::vector<Page> parents;
        for (auto n = 1 + random_() % 3; n != 0; --n) parents.push_back(any());
        asked_.insert(child);
        try {
            bus_->graph().derive(
                child, parents, formula::call(random_() % 4 == 0 ? "test.coarse/1" : "test.mix/1"));
        } catch (const GraphCycle&) {
            EXPECT_EQ(contents_of(*bus_), before_);
        }
    }
    void edge() {
        const auto type = static_cast<EdgeType>(1 + random_() % 3);
        try {
            if (random_() % 3 == 0)
                bus_->graph().remove_dependency(any(), any());
            else
                bus_->graph().add_dependency(any(), any(), type);
        } catch (const GraphCycle&) {
            EXPECT_EQ(contents_of(*bus_), before_);
        }
    }
    void propagate() {
        for (const auto& page : pages_) asked_.insert(page);
        bus_->graph().propagate();
    }
    void remove() {
        const auto at = random_() % pages_.size();
        bus_->delete_page(pages_[at]);
        pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    void many() {
        std::vector<Page> made;
        try {
            bus_->transact([&](Transaction& tx) {
                made.clear();
                for (int i = 0; i != 2 && pages_.size() + made.size() < 24; ++i)
                    made.push_back(tx.create_page(page_size, {.contents = bytes_of("new")}));
                for (const auto& page : made) {
                    tx.derive(page, {any(), any()}, formula::call("test.mix/1"));
                    asked_.insert(page);
                }
                const auto all = plain();
                if (!all.empty()) tx.update(all[random_() % all.size()], some_bytes());
                const auto freed = any();
                tx.underive(freed);
                tx.update(freed, some_bytes());
            });
            pages_.insert(pages_.end(), made.begin(), made.end());
        } catch (const GraphCycle&) {
            EXPECT_EQ(contents_of(*bus_), before_);
        }
    }
    void reopen() {
        const auto kind = random_() % 3;
        if (kind == 0) bus_->checkpoint();
        bus_.reset();
        if (kind != 2) remove_arena(folder_.path());
        for (auto& page : pages_) ids_.push_back(page.id());
        bus_.emplace(start_with(at(folder_)));  // without functions
        EXPECT_EQ(contents_of(*bus_), before_);
        bus_.reset();
        open();
        pages_.clear();
        for (const auto id : ids_) pages_.push_back(bus_->page(id));
        ids_.clear();
        calls_.clear();  // each function that was registered has brought a commit of its own
    }

    bool has_stale_root(PageId page, const Contents& now) {
        return std::ranges::any_of(bus_->graph().ancestors(page), [&](PageId id) {
            const auto& ancestor = now.pages.at(number(id));
            return !ancestor.derived && ancestor.stale;
        });
    }

    void check() {
        const auto now = contents_of(*bus_);
        EXPECT_EQ(contents_of(bus_->snapshot()), now);
        for (const auto& [id, page] : now.pages) {
            if (!page.derived || page.stale) continue;
            const auto formula = bus_->graph().formula(PageId{id});
            std::vector<Bytes> parents;
            for (const auto& edge : formula_parents(PageId{id})) {
                parents.push_back(now.pages.at(number(edge)).bytes);
                EXPECT_FALSE(now.pages.at(number(edge)).stale) << edge << " of " << id;
            }
            Bytes expected(page_size);
            formula->function == "test.mix/1" ? mix(parents, expected) : coarse(parents, expected);
            EXPECT_EQ(page.bytes, expected) << "page " << id;
        }
        for (const auto& [page, n] : calls_) {
            EXPECT_EQ(n, 1) << "page " << page;
            EXPECT_TRUE(asked_.contains(page) || had_reason(page, now)) << "page " << page;
        }
    }
    // In the formula's order, one that is named twice twice: as the log has it.
    std::vector<PageId> formula_parents(PageId page) {
        std::vector<PageId> parents;
        for (const auto& edge : bus_->graph().parents(page))
            if (edge.type == EdgeType::data) parents.push_back(edge.parent);
        return parents;
    }
    bool had_reason(PageId page, const Contents& now) {
        const auto was = before_.pages.find(number(page));
        if (was == before_.pages.end() || was->second.stale) return true;
        return std::ranges::any_of(formula_parents(page), [&](PageId parent) {
            const auto then = before_.pages.find(number(parent));
            return then == before_.pages.end() ||
                   then->second.bytes != now.pages.at(number(parent)).bytes ||
                   then->second.stale != now.pages.at(number(parent)).stale;
        });
    }

    std::mt19937_64 random_;
    bool heavy_;
    std::mutex mutex_{};  // of calls_
    TempFolder folder_{};
    std::optional<State> bus_{};
    std::vector<Page> pages_{};
    std::vector<PageId> ids_{};
    Contents before_{};
    std::map<PageId, int> calls_{};
    std::set<PageId> asked_{};
    bool checks_extents_ = false;
};

TEST(RandomGraphs, AreAlwaysWhatTheModelSays) {
    const char* const given = std::getenv("MMSB_SEED");
    const auto seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    std::cout << "MMSB_SEED=" << seed << '\n';
    const auto runs = std::getenv("MMSB_LONG") != nullptr ? 400 : 12;
    for (int run = 0; run < runs && !testing::Test::HasFailure(); ++run) {
        RandomGraph graph(seed + static_cast<unsigned>(run), run % 3 == 2);
        for (int step = 0; step < 150 && !testing::Test::HasFailure(); ++step) {
            graph.step();
            if (testing::Test::HasFailure()) std::cout << "run " << run << " step " << step << '\n';
        }
        graph.finish();
    }
}

}  // namespace
}  // namespace mmsb::test
